# Hushbox: one word each. `make` lists them; CI calls the same words (see .ci/run).
#
# Every word first sees to it that the machine has what the word needs (`setup`), so that a fresh
# clone needs no step by hand.

CONFIG ?= config.toml
# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Independent checks of the box from outside, where a checkout has them beside it.
CHECKS ?= ../shared/checks
PROFILE := --release

# To build: a C compiler with its headers and cmake for the bundled libopus, pkg-config to find
# alsa-lib, alsa-lib's headers for the sound cards.
PACKAGES_BUILD := gcc libc6-dev cmake pkg-config libasound2-dev
# To test: a sound server with cards made of air, and alsa-lib's way to it (pulseaudio,
# pulseaudio-utils, libasound2-plugins, alsa-utils); speech that nobody has to record (espeak-ng);
# tools that are not ours to listen to exports (sox, opus-tools, ffmpeg); the outside checks
# (python3).
PACKAGES_TEST := pulseaudio pulseaudio-utils libasound2-plugins alsa-utils espeak-ng \
	sox opus-tools ffmpeg python3 shellcheck systemd

# To make the appliance's image (mmdebstrap and what writes disks into files), and to boot it.
PACKAGES_IMAGE := mmdebstrap mtools dosfstools fdisk e2fsprogs cpio binutils kmod zstd \
	qemu-system-x86 ovmf
# The same for 64-bit ARM, built here.
PACKAGES_ARM := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static arch-test \
	qemu-system-arm qemu-efi-aarch64

# To test the portal and what plays exports: a browser and its driver, a font, a mail server; kill (procps);
# npm, where it is not there in another way, for the checker of accessibility.
PACKAGES_PORTAL := chromium chromium-driver fonts-dejavu-core python3 python3-aiosmtpd procps \
	$(if $(shell command -v npm),,nodejs npm)

# The checker of accessibility (axe-core), at the version and with the hash that package-lock.json names.
AXE := crates/portal/tests/node_modules/.package-lock.json

# To test the agents' client on a screen made of air: an X server in memory with drawing in software
# (libgl1-mesa-dri, libgl1, libegl1 and what windows load), a window manager, a panel with a tray, a
# notification service, a message bus, fingers (xdotool), a camera (imagemagick), and what screen
# readers speak through (at-spi2-core); what finds fonts (fontconfig).
PACKAGES_DESKTOP := xvfb openbox dbus xfce4-panel dunst xdotool imagemagick fonts-dejavu-core \
	adwaita-icon-theme libgl1-mesa-dri libgl1 libegl1 libxkbcommon-x11-0 libx11-xcb1 libxcursor1 \
	libxi6 libxrandr2 at-spi2-core fontconfig

# To test screens: a display made of air, one that changes its size and its monitors
# (tigervnc-standalone-server, x11-xserver-utils), and libvpx's own coder, which the capture client
# needs to run. (What plays the exports, ffmpeg, is above.)
PACKAGES_SCREEN := xvfb tigervnc-standalone-server x11-xserver-utils vpx-tools

# To attack the portal: a scanner that is not ours.
PACKAGES_SCAN := wapiti

# To measure beside it: redis-server, as a yardstick for commands that only read; nginx, for pages.
PACKAGES_BENCH := redis-server nginx-light

# rustup puts cargo there; a shell that was open before does not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# https://no-color.org: cargo passes it on to rustc, the test harness wants its own word.
ifneq ($(NO_COLOR),)
export CARGO_TERM_COLOR := never
TEST_FLAGS := -- --color never
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-build setup-image setup-scan setup-bench run test sim cuts check deny bench crash golden \
	fuzz scan deb install image test-image deb-desktop test-deb-desktop pictures-desktop

help: ## list these words
	@echo 'make WORD, where WORD is one of:'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) \
		| expand -t 10

setup: ## install what is missing of the system packages (nothing, if all are there)
setup-build: # the same, only what building needs
setup: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_PORTAL) $(PACKAGES_DESKTOP) \
	$(PACKAGES_SCREEN)
setup-build: PACKAGES := $(PACKAGES_BUILD)
setup-image: # the same, and what makes and boots images
setup-image: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_IMAGE) \
	$(if $(filter arm64,$(ARCH)),$(PACKAGES_ARM))
setup-bench: # the same, and what is measured beside the box
setup-scan: # what make scan needs besides
setup-scan: PACKAGES := $(PACKAGES_SCAN)
setup-bench: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_BENCH)
setup setup-build setup-image setup-scan setup-bench:
	@command -v cargo >/dev/null || { \
		echo 'setup: there is no cargo; install Rust first: https://rustup.rs' >&2; exit 1; }
	@command -v dpkg-query >/dev/null || { \
		echo 'setup: this is not Debian; going on without a look. Needed, by Debian names:' >&2; \
		echo '  $(PACKAGES)' >&2; exit 0; }; \
	missing=; \
	for package in $(PACKAGES); do \
		state=$$(dpkg-query -W -f='$${db:Status-Status}\n' $$package 2>/dev/null | head -n 1); \
		[ "$$state" = installed ] || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root='env'; \
	elif command -v sudo >/dev/null; then as_root='sudo'; \
	else \
		echo "setup: packages are missing, and only root can install them. As root, run:" >&2; \
		echo "  apt-get update && apt-get install -y --no-install-recommends$$missing" >&2; \
		exit 1; \
	fi; \
	echo "setup: installing$$missing"; \
	$$as_root apt-get update -q && \
	$$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends $$missing
	$(if $(filter setup,$@),@$(MAKE) --no-print-directory $(AXE))

$(AXE): crates/portal/tests/package-lock.json
	@command -v npm >/dev/null || { echo 'setup: there is no npm; install Node.js' >&2; exit 1; }
	npm ci --prefix crates/portal/tests --ignore-scripts --no-audit --no-fund

run: setup-build ## build the box and start it here, in the foreground; ctrl-c stops it
	cargo build $(PROFILE) -p hushbox -p hushbox-cli
	@echo 'Try it from another terminal (export PATH="$$PWD/$(TARGET)/release:$$PATH" first):'
	@echo '  hushbox send --kind cti "call start device=1001 call=c1 ani=5551234 direction=in"'
	@echo '  hushbox send --user jdoe "record start"; hushbox records    # more in README.md'
	@exec $(TARGET)/release/hushboxd --config $(CONFIG)

# Release, because that profile keeps its assertions and overflow checks: what is tested is what
# ships, and everything is compiled once.
test: setup ## run every test, then the independent checks where they are present
	cargo test --workspace --no-fail-fast $(PROFILE) $(TEST_FLAGS)
	@if [ -x $(CHECKS)/records ]; then \
		line=$$(HUSHBOX_TARGET=$(abspath $(TARGET)) $(CHECKS)/records); code=$$?; \
		echo "records: $$line"; exit $$code; \
	fi

SEEDS ?= 1000

sim: setup ## run the whole box by chance, SEEDS times, and say how much the cuts cost
	SEEDS=$(SEEDS) cargo test $(PROFILE) --test simulation random_ -- --nocapture

cuts: setup ## pull the plug at every job of the disk, and once more right after
	cargo test $(PROFILE) --test simulation power_cuts -- --include-ignored --nocapture

check: setup ## formatting, lints and documentation, without a warning
	@for part in fmt clippy; do cargo $$part --version >/dev/null 2>&1 && continue; \
		rustup component add rustfmt clippy || { \
			echo "check: cargo $$part is missing: rustup component add rustfmt clippy" >&2; \
			exit 1; }; \
	done
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(PROFILE) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(PROFILE)
	@if command -v systemd-analyze >/dev/null; then \
		for unit in packaging/systemd/hushboxd.service packaging/systemd/hushbox-portal.service; do \
			systemd-analyze security --offline=true --threshold=20 --no-pager $$unit | tail -n 1; \
			systemd-analyze security --offline=true --threshold=20 --no-pager $$unit >/dev/null \
				|| exit 1; \
		done; \
	else echo 'check: no systemd-analyze here: the ratings of the services were NOT checked'; fi

deb: setup-build ## make the Debian package for this machine, in target/deb
	cargo build $(PROFILE) -p hushbox -p hushbox-cli
	packaging/deb/build $$(dpkg --print-architecture) $(TARGET)/release $(TARGET)/deb

# With DESTDIR only the files, into that folder: no user, no service, no configuration of this machine.
install: deb ## install it here, as a service (as root); again to upgrade; DESTDIR=… for files only
	@package=$$(ls -t $(abspath $(TARGET))/deb/hushbox_*_$$(dpkg --print-architecture).deb | head -n 1); \
	if [ -n "$(DESTDIR)" ]; then mkdir -p "$(DESTDIR)" && dpkg-deb -x "$$package" "$(DESTDIR)"; \
	else apt-get install -y --no-install-recommends --reinstall "$$package"; fi

# The appliance, see docs/operations.md. As root, because the packages are unpacked as root.
ARCH ?= amd64
image: setup-image ## make the appliance's disk image (as root), in target/image; ARCH=arm64 too
	if [ $(ARCH) = "$$(dpkg --print-architecture)" ]; then \
		cargo build $(PROFILE) -p hushbox -p hushbox-cli && \
		packaging/deb/build $(ARCH) $(TARGET)/release $(TARGET)/deb; \
	else packaging/image/cross $(ARCH) $(TARGET); fi
	packaging/image/build $(ARCH) $$(ls -t $(TARGET)/deb/hushbox_*_$(ARCH).deb | head -n 1) \
		$(TARGET)/image/hushbox-$(ARCH).img

# Emulated machines, without KVM: half an hour and more. What it showed last, with its date and
# commit, is kept in docs/image-tests.md. With ARCH=arm64 it is the short story of that image, which
# brings a player from Debian's packages for ARM.
CUTS ?= 50
STORIES_amd64 := --skip arm64
STORIES_arm64 := arm64
PLAYER_arm64 := $(abspath $(TARGET))/alsa-utils-arm64/usr/bin/aplay
test-image: image setup ## boot the image, live with it, and pull its plug CUTS times (as root)
	[ $(ARCH) = amd64 ] || packaging/image/apt $(ARCH) /var/tmp/hushbox-image/$(ARCH)/apt \
		fetch $(TARGET)/alsa-utils-$(ARCH) alsa-utils
	[ $(ARCH) != amd64 ] || packaging/deb/build amd64 $(TARGET)/release $(TARGET)/deb-next 99.0.0
	CUTS=$(CUTS) HUSHBOX_IMAGE=$(abspath $(TARGET))/image/hushbox-$(ARCH).img \
		HUSHBOX_PACKAGE=$(if $(filter amd64,$(ARCH)),$(abspath \
			$(TARGET))/deb-next/hushbox_99.0.0_amd64.deb) \
		HUSHBOX_PLAYER=$(PLAYER_$(ARCH)) HUSHBOX_REPORT=$(abspath $(TARGET))/image-tests.md \
		cargo test --test image -- --ignored --nocapture --test-threads 1 \
		$(STORIES_$(ARCH))

deny: ## check licences and sources of what is depended on; advisories, where they can be reached
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; else \
		echo 'deny: the advisory database cannot be reached: advisories were NOT checked' >&2; \
	fi

# The same story as in `make test`, for hundreds of kills. A seed that fails is in the output.
KILLS ?= 400
SEED ?= $(shell date +%s)
crash: setup ## kill the real box under load, again and again (KILLS=400 SEED=…)
	CRASH_KILLS=$(KILLS) CRASH_SEED=$(SEED) cargo test $(PROFILE) --test daemon crash -- --nocapture

# The bodies of fuzz/ under the mutation loop of `make test`, by the clock. With a nightly toolchain
# and cargo-fuzz, libFuzzer does the same with sanitizers: cd fuzz; cargo +nightly fuzz run media
FUZZ_SECONDS ?= 600
fuzz: setup ## mutate what comes from outside (FUZZ_SECONDS=600)
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test $(PROFILE) --test store fuzz -- --nocapture

scan: setup-scan setup ## try at the real portal what attackers try, and let a scanner loose on it
	cargo test $(PROFILE) -p portal --test stories security -- --nocapture
	cargo test $(PROFILE) -p portal --test stories scanner -- --ignored --nocapture

golden: setup ## make the data directory that tests open for ever (for a new format version)
	cargo test $(PROFILE) --test store -- --ignored make_the_golden_store

bench: setup-bench ## measure what one core can carry
	cargo bench --workspace --bench '*'

pictures-desktop: setup ## take the pictures of docs/desktop.md anew
	BLESS=1 cargo test $(PROFILE) --test desktop display:: -- --nocapture

deb-desktop: setup-build ## make the package of the agents' client
	cargo build $(PROFILE) -p desktop -p screen --bins
	packaging/desktop/deb.sh $(TARGET)/release $(TARGET)

test-deb-desktop: deb-desktop ## try that package in a Debian that has nothing else (root, mmdebstrap)
	packaging/desktop/try.sh $(TARGET)/hushbox-desktop_*.deb
