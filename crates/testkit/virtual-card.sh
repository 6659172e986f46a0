#!/bin/sh
# A virtual sound card, for machines without one: a private PulseAudio with null sinks.
#
#   virtual-card.sh start DIR   starts it, writes DIR/env, and returns when it answers
#   virtual-card.sh stop DIR    stops it and removes what start made
#
# With the variables of DIR/env set, ALSA knows these PCMs:
#   play, cap     stereo: what is played into `play` is captured from `cap`
#   play1, cap1   the same, mono
# Both run at RATE (default 8000 Hz), in real time. Everything lives in DIR; as root it works too
# (PulseAudio only grumbles). It is no kernel card: it knows neither unplugging nor overruns.
set -eu

fail() {
    echo "virtual-card: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: $0 start|stop DIR"
verb=$1
dir=$2

write_files() {
    cat > "$dir/vcard.pa" <<END
load-module module-native-protocol-unix auth-anonymous=1 socket=$dir/native
load-module module-null-sink sink_name=vcard rate=$rate channels=2 format=s16le
load-module module-null-sink sink_name=vcard1 rate=$rate channels=1 format=s16le
END
    # hint: so that the PCMs are listed (arecord -L).
    cat > "$dir/asound.conf" <<END
</usr/share/alsa/alsa.conf>
pcm.cap   { type pulse device "vcard.monitor"  hint { show on description "virtual, stereo" } }
pcm.play  { type pulse device "vcard"          hint { show on description "virtual, stereo" } }
pcm.cap1  { type pulse device "vcard1.monitor" hint { show on description "virtual, mono" } }
pcm.play1 { type pulse device "vcard1"         hint { show on description "virtual, mono" } }
END
    cat > "$dir/env" <<END
ALSA_CONFIG_PATH=$dir/asound.conf
PULSE_SERVER=unix:$dir/native
PULSE_COOKIE=$dir/cookie
HOME=$dir
XDG_RUNTIME_DIR=$dir
END
}

# Answers within the bound, or says why not.
await_answer() {
    tries=0
    until pactl --server "unix:$dir/native" info > /dev/null 2>&1; do
        kill -0 "$pid" 2> /dev/null || fail "pulseaudio ended: $(tail -n 5 "$dir/pulse.log")"
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "no answer in 10 s: $(tail -n 5 "$dir/pulse.log")"
        sleep 0.05
    done
}

start() {
    for program in pulseaudio pactl; do
        command -v "$program" > /dev/null || fail "$program is missing: install pulseaudio \
pulseaudio-utils libasound2-plugins"
    done
    mkdir -p "$dir"
    chmod 700 "$dir"
    dir=$(cd "$dir" && pwd)
    [ ! -e "$dir/pid" ] || fail "$dir is in use: stop it first"
    rate=${RATE:-8000}
    write_files
    env -u PULSE_SERVER -u DISPLAY HOME="$dir" XDG_RUNTIME_DIR="$dir" XDG_CONFIG_HOME="$dir" \
        setsid pulseaudio -n -F "$dir/vcard.pa" --exit-idle-time=-1 --daemonize=no \
        --disallow-exit --realtime=no --high-priority=no < /dev/null > "$dir/pulse.log" 2>&1 &
    pid=$!
    echo "$pid" > "$dir/pid"
    (await_answer) || { stop; exit 1; }
}

stop() {
    [ -e "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    kill "$pid" 2> /dev/null || true
    tries=0
    while kill -0 "$pid" 2> /dev/null; do
        tries=$((tries + 1))
        [ "$tries" -ne 100 ] || kill -9 "$pid" 2> /dev/null || true
        # A dead child that nobody reaps (a container without init) still answers kill -0.
        [ "$tries" -lt 120 ] || break
        sleep 0.05
    done
    rm -rf "$dir/pid" "$dir/native" "$dir/vcard.pa" "$dir/asound.conf" "$dir/env" \
        "$dir/pulse.log" "$dir/pulse" "$dir/cookie" "$dir/.config"
    rmdir "$dir" 2> /dev/null || true
}

case $verb in
start) start ;;
stop) stop ;;
*) fail "usage: $0 start|stop DIR" ;;
esac
