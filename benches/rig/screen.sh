#!/bin/sh
# What capturing a screen costs, beside ffmpeg x11grab with the same codec, once as people call it
# and once with what the capture client tells libvpx: bytes an hour and processor time. What is done on the screen: benches/rig/office.html, five minutes of office work. Then the same
# screen standing still.
# Needs: cargo build -p hushbox -p screen (either profile), chromium, Xvfb, vpx-tools, ffmpeg.
#   benches/rig/screen.sh target/debug [SECONDS]
set -eu
bin=$1; seconds=${2:-300}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); pids=
trap 'kill $pids 2>/dev/null || :; wait; rm -rf "$work"' EXIT INT TERM
mkfifo "$work/number"
Xvfb -displayfd 1 -screen 0 1280x720x24 -nolisten tcp >"$work/number" 2>/dev/null &
pids="$pids $!"
read -r number <"$work/number"
ffmpeg -loglevel error -f lavfi -i anoisesrc=r=8000:d=10 -ac 1 -c:a pcm_s16le "$work/1.wav"
cat >"$work/config.toml" <<END
[box]
name = "bench"
data = "$work/data"
[on_demand]
enabled = true
[local]
kinds = ["agent", "screen", "monitor"]
[[listen]]
unix = "$work/sock"
[[board]]
name = "b"
kind = "sim"
rate = 8000
buffer_ms = 2000
activity = "cti"
channels = [{ id = 1, device = "1001", sides = "mono", source = "$work/1.wav" }]
[[role]]
name = "agent"
permissions = ["screen"]
[[agent]]
username = "jane"
roles = ["agent"]
screen = true
[[schedule]]
name = "all"
type = "on-demand"
END
"$bin/hushboxd" --config "$work/config.toml" >"$work/out" 2>"$work/log" &
pids="$pids $!"
until grep -qs ready "$work/out"; do sleep 0.2; done
work_at() {
	DISPLAY=:$number HOME=$work chromium --no-sandbox --disable-gpu --kiosk --no-first-run \
		--user-data-dir="$work/profile" --window-size=1280,720 --window-position=0,0 \
		"file://$here/office.html#$1" >/dev/null 2>&1 &
	browser=$!; pids="$pids $browser"; sleep 15
}
work_at ""
"$bin/hushbox-screen" --to "unix:$work/sock" --user jane --display ":$number" 2>"$work/client" &
client=$!; pids="$pids $client"
until grep -qs connected "$work/client"; do sleep 0.2; done
send() { "$bin/hushbox" send --to "unix:$work/sock" "$@"; }
# Of the client, what it waited for, and the coders that run.
ticks() {
	{
		cat "/proc/$client/stat"
		# shellcheck disable=SC2013
		for child in $(cat /proc/"$client"/task/*/children); do
			cat "/proc/$child/stat" 2>/dev/null || :
		done
	} | awk 'NR == 1 { sum += $16 + $17 } { sum += $14 + $15 } END { print sum }'
}
bytes() {
	send --kind monitor stats | sed -n 's/.*name=hushbox_screen_bytes_total value=//p'
}
grab() {
	name=$1; file=$work/$2; shift 2
	/usr/bin/env bash -c "time ffmpeg -loglevel error -y -f x11grab -framerate 5 \
		-video_size 1280x720 -i :$number -t $seconds -pix_fmt yuv420p -c:v libvpx-vp9 \
		-deadline realtime -cpu-used 6 -threads 1 $* $file.webm" 2>"$file"
	size=$(stat -c %s "$file.webm")
	awk -v name="$name" -v s="$seconds" -v size="$size" '/user|sys/ { split($2, p, /[ms]/);
		cpu += p[1] * 60 + p[2] } END { printf "%s: %d ms/s, %d MB/h\n",
		name, cpu * 1000 / s, size * 0.0036 / s }' "$file"
}
# All three at the same time, so that all see the same.
measure() {
	sleep 40
	grab "$1, ffmpeg x11grab at 100 kbit/s" a -b:v 100k &
	one=$!
	grab "$1, ffmpeg x11grab, told what vpxenc is told" b -b:v 0 -crf 32 -tune-content screen \
		-lag-in-frames 0 -g 150 &
	two=$!
	t0=$(ticks); b0=$(bytes); sleep "$seconds"; t1=$(ticks); b1=$(bytes)
	echo "$1, hushbox-screen: $(( (t1 - t0) * 1000 / $(getconf CLK_TCK) / seconds )) ms/s," \
		"$(( (b1 - b0) * 36 / seconds / 10000 )) MB/h"
	wait $one $two
}
send --user jane "screen start" >/dev/null
measure "office work"
kill "$browser"; wait "$browser" || :
seconds=$(( seconds < 90 ? seconds : 90 ))
work_at still
measure "standing still"
