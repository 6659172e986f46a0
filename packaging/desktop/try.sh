#!/bin/sh
# Tests the package of the desktop client in a minimal Debian: try.sh PACKAGE.
#
# Installs the package, runs what works without a desktop, checks the installed files, removes the
# package and purges it. Needs root, mmdebstrap and a Debian mirror, and leaves nothing behind. Exit
# status 0: all checks passed.
set -eu
package=$(realpath "$1")
inside=$(mktemp)
trap 'rm -f "$inside"' EXIT
cat >"$inside" <<'INSIDE'
set -eu
fail() { echo "try.sh: $1" >&2; exit 1; }
says() { # TEXT COMMAND...: checks that COMMAND fails and prints TEXT
	text=$1
	shift
	if output=$("$@" 2>&1); then fail "$*: succeeded, but must fail"; fi
	case $output in *"$text"*) ;; *) fail "$*: printed: $output" ;; esac
}
export DEBIAN_FRONTEND=noninteractive HOME=/root
apt-get install -q -y --no-install-recommends /tmp/package.deb desktop-file-utils >/dev/null
ldd /usr/bin/hushbox-desktop | grep 'not found' && fail 'a library is missing'
hushbox-desktop --version
hushbox-desktop --help | grep -q -- '--enrol' || fail '--help'
says 'start it first' hushbox-desktop --status
says 'this is no code' hushbox-desktop --enrol AAAA-BBBB --to tls:127.0.0.1:1
hushbox-screen --version
hushbox-screen --help | grep -q -- '--display' || fail 'hushbox-screen --help'
test -s /usr/lib/systemd/user/hushbox-screen.service || fail 'no unit for the screen'
desktop-file-validate /usr/share/applications/hushbox-desktop.desktop
desktop-file-validate /etc/xdg/autostart/hushbox-desktop.desktop
test -s /usr/share/doc/hushbox-desktop/copyright || fail 'no copyright'
test -s /usr/share/icons/hicolor/scalable/apps/hushbox.svg || fail 'no icon'

# Without a display or a message bus the client still runs, so that scripts can use it.
hushbox-desktop 2>/tmp/said &
for _ in $(seq 100); do
	hushbox-desktop --status >/tmp/status 2>/dev/null && break
	sleep 0.1
done
grep -q 'Connection:' /tmp/status || fail "no status: $(cat /tmp/said)"
hushbox-desktop --quit
wait

# A removal keeps the administrator's settings; a purge deletes them.
echo 'servers = ["tls:box-01"]' >>/etc/xdg/hushbox/desktop.toml
apt-get remove -q -y hushbox-desktop >/dev/null
test -e /etc/xdg/hushbox/desktop.toml || fail 'the removal deleted the settings'
apt-get purge -q -y hushbox-desktop >/dev/null
left=$(find /etc /usr /var/lib/dpkg -name '*hushbox*')
test -z "$left" || fail "the purge left: $left"
echo 'try.sh: installed, ran, removed and purged the package'
INSIDE
mmdebstrap --quiet --variant=minbase --format=null \
	--customize-hook="copy-in $inside /tmp" \
	--customize-hook="cp '$package' \"\$1/tmp/package.deb\"" \
	--customize-hook="chroot \"\$1\" sh /tmp/$(basename "$inside")" \
	bookworm /dev/null
