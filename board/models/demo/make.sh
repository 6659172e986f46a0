#!/bin/sh
# Makes the demo speech, 1001.wav and 1002.wav, beside this script: the same bytes every time with
# the same espeak-ng and sox. What is said, and when, is in ../README.md; `make.sh times` prints
# the second at which each line begins.
#
# The card numbers are the card networks' published test numbers.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
rate=8000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# say NAME VOICE PITCH TEXT: one line of speech, mono, with a pause of 0.4 s after it.
say() {
    espeak-ng -v "$2" -p "$3" -s 165 -w "$work/raw.wav" "$4"
    sox -R -D "$work/raw.wav" -b 16 -e signed-integer -r "$rate" -c 1 "$work/$1.wav" \
        highpass 200 lowpass 3600 gain -n -6 pad 0 0.4
}

agent() { say "$1" en-gb 35 "$2"; }
customer() { say "$1" en-us 70 "$2"; }

# quiet NAME LIKE: silence as long as LIKE.
quiet() {
    sox -R -D "$work/$2.wav" "$work/$1.wav" vol 0
}

# The seconds at which the named lines begin when they follow each other.
starts() {
    at=0
    for line; do
        printf '%6.2f s  %s\n' "$at" "$line"
        at=$(echo "$at $(soxi -D "$work/$line.wav")" | awk '{ print $1 + $2 }')
    done
    printf '%6.2f s  end\n' "$at"
}

# 1001: one side, both voices.
agent 1-agent-asks "Thank you for calling. May I have your card number, please?"
customer 2-customer-waits "Yes, one moment. Here it is."
customer 3-customer-number "4 0 1 2, 8 8 8 8, 8 8 8 8, 1 8 8 1."
agent 4-agent-thanks "Thank you. I have it. Your order is on its way. Is there anything else?"
customer 5-customer-ends "No, that is all. Goodbye."
mono="1-agent-asks 2-customer-waits 3-customer-number 4-agent-thanks 5-customer-ends"

# 1002: left the agent, right the customer; while one speaks the other is silent.
agent 1-agent-greets "Good morning. How can I help you?"
customer 2-customer-wants "I would like to pay my bill by card."
agent 3-agent-asks "Of course. Please read me the number."
customer 4-customer-number "5 1 0 5, 1 0 5 1, 0 5 1 0, 5 1 0 0."
agent 5-agent-ends "Thank you. It is paid. Have a nice day."
stereo="1-agent-greets 2-customer-wants 3-agent-asks 4-customer-number 5-agent-ends"

if [ "${1:-}" = times ]; then
    echo "1001.wav"
    starts $mono
    echo "1002.wav"
    starts $stereo
    exit 0
fi

files() { for line; do printf '%s/%s.wav ' "$work" "$line"; done; }

sox -R -D $(files $mono) "$here/1001.wav"

left=""
right=""
for line in $stereo; do
    quiet "q-$line" "$line"
    case $line in
    *-agent-*) left="$left $line" right="$right q-$line" ;;
    *) left="$left q-$line" right="$right $line" ;;
    esac
done
sox -R -D $(files $left) "$work/left.wav"
sox -R -D $(files $right) "$work/right.wav"
sox -R -D -M "$work/left.wav" "$work/right.wav" "$here/1002.wav"
