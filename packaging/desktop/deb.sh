#!/bin/sh
# Builds the package of the desktop client: deb.sh PROGRAMS FOLDER writes
# FOLDER/hushbox-desktop_*.deb.
#
# The package contains the programs hushbox-desktop and hushbox-screen from the folder PROGRAMS,
# icons, the menu and autostart entries, a disabled unit for screen capture, and settings for the
# administrator. The script needs dpkg-deb.
set -eu
programs=$1
folder=$2
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n '/^\[workspace.package\]/,/^\[package\]/s/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
machine=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

for program in hushbox-desktop hushbox-screen; do
	install -D -m 755 "$programs/$program" "$tree/usr/bin/$program"
	strip "$tree/usr/bin/$program"
done
install -D -m 644 "$here/hushbox-screen.service" \
	"$tree/usr/lib/systemd/user/hushbox-screen.service"
install -D -m 644 "$here/screen.conf" "$tree/etc/xdg/hushbox/screen.conf"
install -D -m 644 "$here/hushbox-desktop.desktop" \
	"$tree/usr/share/applications/hushbox-desktop.desktop"
install -D -m 644 "$here/hushbox-desktop.desktop" "$tree/etc/xdg/autostart/hushbox-desktop.desktop"
install -D -m 644 "$here/desktop.toml" "$tree/etc/xdg/hushbox/desktop.toml"
for icon in "$here"/../../crates/desktop/icons/*.svg; do
	install -D -m 644 "$icon" "$tree/usr/share/icons/hicolor/scalable/apps/$(basename "$icon")"
done
for text in LICENSE-APACHE LICENSE-MIT; do
	install -D -m 644 "$here/../../$text" "$tree/usr/share/doc/hushbox-desktop/$text"
done
printf 'Hushbox is licensed under MIT or Apache-2.0; the texts are in this folder.\n' \
	>"$tree/usr/share/doc/hushbox-desktop/copyright"
chmod 644 "$tree/usr/share/doc/hushbox-desktop/copyright"

mkdir -p "$tree/DEBIAN"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: hushbox-desktop
Version: $version
Architecture: $machine
Maintainer: Hushbox
Section: sound
Priority: optional
Depends: libc6 (>= 2.36), libgcc-s1
Recommends: fontconfig, libgl1, libegl1, libxkbcommon-x11-0, libx11-xcb1, libxcursor1, libxi6, libxrandr2,
 libwayland-client0, libwayland-cursor0, libwayland-egl1, libxkbcommon0, vpx-tools
Description: Hushbox desktop client for agents
 A tray icon shows whether the call is recorded and whether a blackout is active.
 Its menu and hotkeys start and stop recordings and blackouts.
 .
 The package also contains hushbox-screen, which captures the screen of the
 workstation. It is disabled by default.
CONTROL
printf '/etc/xdg/%s\n' hushbox/desktop.toml hushbox/screen.conf autostart/hushbox-desktop.desktop \
	>"$tree/DEBIAN/conffiles"
package="$folder/hushbox-desktop_${version}_$machine.deb"
dpkg-deb --root-owner-group --build "$tree" "$package" >/dev/null
echo "$package"
