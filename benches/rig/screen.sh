#!/bin/sh
# What capturing a screen costs, beside ffmpeg x11grab with the same codec: bytes an hour and
# processor time, for text that changes every three seconds and for a screen that stands still.
# Needs: cargo build -p hushbox -p screen --example office (either profile), Xvfb, ffmpeg.
#   benches/rig/screen.sh target/debug [SECONDS]
set -eu
bin=$1; seconds=${2:-60}
work=$(mktemp -d); pids=
trap 'kill $pids 2>/dev/null || :; rm -rf "$work"' EXIT
mkfifo "$work/number"
Xvfb -displayfd 3 -screen 0 1280x720x24 -nolisten tcp 3>"$work/number" 2>/dev/null &
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
until grep -q ready "$work/out"; do sleep 0.2; done
"$bin/hushbox-screen" --to "unix:$work/sock" --user jane --display ":$number" 2>"$work/client" &
client=$!; pids="$pids $client"
until grep -q connected "$work/client"; do sleep 0.2; done
send() { "$bin/hushbox" send --to "unix:$work/sock" "$@"; }
ticks() { awk '{print $14 + $15}' "/proc/$client/stat"; }
bytes() {
	send --kind monitor stats | sed -n 's/.*name=hushbox_screen_bytes_total value=//p'
}
measure() {
	sleep 12
	t0=$(ticks); b0=$(bytes); sleep "$seconds"; t1=$(ticks); b1=$(bytes)
	echo "$1: hushbox-screen $(( (t1 - t0) * 1000 / $(getconf CLK_TCK) / seconds )) ms/s," \
		"$(( (b1 - b0) * 36 / seconds / 10000 )) MB/h"
	/usr/bin/env bash -c "time ffmpeg -loglevel error -y -f x11grab -framerate 5 \
		-video_size 1280x720 -i :$number -t $seconds -c:v libvpx-vp9 -deadline realtime \
		-cpu-used 6 -row-mt 1 -threads 1 -b:v 100k $work/x.webm" 2>"$work/time"
	size=$(stat -c %s "$work/x.webm")
	awk -v name="$1" -v s="$seconds" -v size="$size" '/user|sys/ { split($2, p, /[ms]/);
		cpu += p[1] * 60 + p[2] } END { printf "%s: ffmpeg x11grab %d ms/s, %d MB/h\n",
		name, cpu * 1000 / s, size * 0.0036 / s }' "$work/time"
}
send --user jane "screen start" >/dev/null
"$bin/examples/office" ":$number" 3 &
wait $!
"$bin/examples/office" ":$number" $(( 3 * seconds + 60 )) &
pids="$pids $!"; office=$!
measure "text, a line every 3 s"
kill $office
"$bin/examples/office" ":$number" 100000 >/dev/null 2>&1 &
still=$!; pids="$pids $still"; sleep 2; kill -STOP $still
measure "standing still"
kill -KILL $still
