# Targets of Hushbox. `make` lists them; CI runs the same targets (see .ci/run).
#
# Each target first installs the system packages that it needs (see `setup`), so a fresh clone needs
# no manual step.

CONFIG ?= config.toml
# Cargo's output folder.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Independent checks of the box. `make test` runs them if this folder exists.
CHECKS ?= ../shared/checks
PROFILE := --release

# To build: a C compiler with headers and cmake for the bundled libopus; pkg-config and the headers
# of alsa-lib for the sound cards.
PACKAGES_BUILD := gcc libc6-dev cmake pkg-config libasound2-dev
# To test: a sound server with virtual cards and its ALSA plugin (pulseaudio, pulseaudio-utils,
# libasound2-plugins, alsa-utils); synthetic speech (espeak-ng); a recording client for SIPREC
# (sip-tester); independent tools that read exports (sox, opus-tools, ffmpeg); the independent checks
# (python3); and tools that check the package (shellcheck, systemd).
PACKAGES_TEST := pulseaudio pulseaudio-utils libasound2-plugins alsa-utils espeak-ng sip-tester \
	sox opus-tools ffmpeg python3 shellcheck systemd

# To build the appliance's image (mmdebstrap, tools that write file systems into files) and boot it.
PACKAGES_IMAGE := mmdebstrap mtools dosfstools fdisk e2fsprogs cpio binutils kmod zstd \
	qemu-system-x86 ovmf
# To build and boot the image for 64-bit ARM.
PACKAGES_ARM := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static arch-test \
	qemu-system-arm qemu-efi-aarch64

# To test the portal and the playback of exports: a browser with its driver, a font, a mail server,
# and kill (procps). npm, unless it is installed in another way, fetches the accessibility checker.
PACKAGES_PORTAL := chromium chromium-driver fonts-dejavu-core python3 python3-aiosmtpd procps \
	$(if $(shell command -v npm),,nodejs npm)

# The accessibility checker axe-core, at the version and hash in package-lock.json.
AXE := crates/portal/tests/node_modules/.package-lock.json


# To test the desktop client on a virtual screen: an X server in memory with software rendering
# (libgl1-mesa-dri, libgl1, libegl1 and the libraries that windows load), a window manager, a panel
# with a tray, a notification service, a message bus, simulated input (xdotool), screenshots
# (imagemagick), the interface of screen readers (at-spi2-core), and font lookup (fontconfig).
PACKAGES_DESKTOP := xvfb openbox dbus xfce4-panel dunst xdotool imagemagick fonts-dejavu-core \
	adwaita-icon-theme libgl1-mesa-dri libgl1 libegl1 libxkbcommon-x11-0 libx11-xcb1 libxcursor1 \
	libxi6 libxrandr2 at-spi2-core fontconfig

# To test screen capture: a virtual display, one that changes its size and its monitors
# (tigervnc-standalone-server, x11-xserver-utils), and libvpx's encoder, which the capture client
# needs to run. ffmpeg, which plays the exports, is in PACKAGES_TEST.
PACKAGES_SCREEN := xvfb tigervnc-standalone-server x11-xserver-utils vpx-tools

# To attack the portal: an independent scanner.
PACKAGES_SCAN := wapiti

# To compare measurements: redis-server for commands that only read, nginx for pages.
PACKAGES_BENCH := redis-server nginx-light

# rustup installs cargo there; an open shell does not have it in its PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# https://no-color.org: cargo passes it to rustc, but the test harness needs its own option.
ifneq ($(NO_COLOR),)
export CARGO_TERM_COLOR := never
TEST_FLAGS := -- --color never
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-build setup-image setup-scan setup-bench run test sim power-cuts check deny bench crash golden \
	fuzz scan requirements-coverage deb install image test-image deb-desktop test-deb-desktop pictures-desktop

help: ## list the targets
	@echo 'Usage: make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) \
		| expand -t 20

setup: ## install missing system packages for build and tests (Debian; as root or with sudo)
setup-build: # only the packages to build
setup: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_PORTAL) $(PACKAGES_DESKTOP) \
	$(PACKAGES_SCREEN)
setup-build: PACKAGES := $(PACKAGES_BUILD)
setup-image: # the packages to build, and to create and boot images
setup-image: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_IMAGE) \
	$(if $(filter arm64,$(ARCH)),$(PACKAGES_ARM))
setup-bench: # the packages to build and to measure
setup-scan: # the additional packages of `make scan`
setup-scan: PACKAGES := $(PACKAGES_SCAN)
setup-bench: PACKAGES := $(PACKAGES_BUILD) $(PACKAGES_BENCH)
setup setup-build setup-image setup-scan setup-bench:
	@command -v cargo >/dev/null || { \
		echo 'setup: cargo not found; install Rust first: https://rustup.rs' >&2; exit 1; }
	@command -v dpkg-query >/dev/null || { \
		echo 'setup: this is not Debian; packages are not checked. Needed (Debian names):' >&2; \
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
		echo "setup: packages are missing, and sudo was not found. As root, run:" >&2; \
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

run: setup-build ## build the box and start it here, in the foreground; Ctrl-C stops it
	cargo build $(PROFILE) -p hushbox -p hushbox-cli
	@echo 'Try it from another terminal (export PATH="$$PWD/$(TARGET)/release:$$PATH" first):'
	@echo '  hushbox send --kind cti "call start device=1001 call=c1 ani=5551234 direction=in"'
	@echo '  hushbox send --user jdoe "record start"; hushbox records    # more in README.md'
	@exec $(TARGET)/release/hushboxd --config $(CONFIG)

# Tests use the release profile, which keeps assertions and overflow checks. So the tests check what
# ships, and cargo compiles everything once. Every target for tests names the whole workspace: another
# selection has other features, and compiles most dependencies again. For the same reason the
# independent checks take the programs that the tests have built.
test: setup ## run all tests, and the independent checks if present
	cargo test --workspace --no-fail-fast $(PROFILE) $(TEST_FLAGS)
	@if [ -x $(CHECKS)/records ]; then \
		line=$$(HUSHBOX_TARGET=$(abspath $(TARGET)) HUSHBOX_NOBUILD=1 $(CHECKS)/records); code=$$?; \
		echo "records: $$line"; exit $$code; \
	fi

SEEDS ?= 1000

sim: setup ## simulate the whole box with random events and power cuts (SEEDS=1000)
	SEEDS=$(SEEDS) cargo test --workspace $(PROFILE) --test simulation random_ -- --nocapture

power-cuts: setup ## cut the power at every disk operation, and again during recovery
	cargo test --workspace $(PROFILE) --test simulation power_cuts -- --include-ignored --nocapture

check: setup ## check formatting, lints, documentation and service hardening
	@for part in fmt clippy; do cargo $$part --version >/dev/null 2>&1 && continue; \
		rustup component add rustfmt clippy || { \
			echo "check: cargo $$part is missing: rustup component add rustfmt clippy" >&2; \
			exit 1; }; \
	done
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(PROFILE) -- -D warnings
	cargo clippy --workspace $(PROFILE) --test lint -- -D warnings
	cargo test --workspace $(PROFILE) --test lint
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(PROFILE)
	@if command -v systemd-analyze >/dev/null; then \
		for unit in packaging/systemd/*.service; do \
			systemd-analyze security --offline=true --threshold=20 --no-pager $$unit | tail -n 1; \
			systemd-analyze security --offline=true --threshold=20 --no-pager $$unit >/dev/null \
				|| exit 1; \
		done; \
	else echo 'check: systemd-analyze not found: the services were NOT rated'; fi

deb: setup-build ## build the Debian package for this machine, in target/deb
	cargo build $(PROFILE) -p hushbox -p hushbox-cli -p cti
	packaging/deb/build $$(dpkg --print-architecture) $(TARGET)/release $(TARGET)/deb

# DESTDIR=… unpacks the files into that folder, without a user and without a service.
install: deb ## install or upgrade the service here (as root); DESTDIR=… only unpacks the files
	@package=$$(ls -t $(abspath $(TARGET))/deb/hushbox_*_$$(dpkg --print-architecture).deb | head -n 1); \
	if [ -n "$(DESTDIR)" ]; then mkdir -p "$(DESTDIR)" && dpkg-deb -x "$$package" "$(DESTDIR)"; \
	else apt-get install -y --no-install-recommends --reinstall "$$package"; fi

# The appliance, see docs/operations.md. Needs root, because mmdebstrap unpacks packages as root.
ARCH ?= amd64
image: setup-image ## build the appliance's disk image (as root), in target/image (ARCH=amd64, arm64)
	if [ $(ARCH) = "$$(dpkg --print-architecture)" ]; then \
		cargo build $(PROFILE) -p hushbox -p hushbox-cli -p cti && \
		packaging/deb/build $(ARCH) $(TARGET)/release $(TARGET)/deb; \
	else packaging/image/cross $(ARCH) $(TARGET); fi
	packaging/image/build $(ARCH) $$(ls -t $(TARGET)/deb/hushbox_*_$(ARCH).deb | head -n 1) \
		$(TARGET)/image/hushbox-$(ARCH).img

# Runs emulated machines without KVM, for half an hour or more. docs/image-tests.md has the latest
# results with date and commit. ARCH=arm64 runs a shorter test, with an audio player from Debian's
# packages for ARM.
CUTS ?= 50
STORIES_amd64 := --skip arm64
STORIES_arm64 := arm64
PLAYER_arm64 := $(abspath $(TARGET))/alsa-utils-arm64/usr/bin/aplay
test-image: image setup ## boot the image in QEMU, use it, and cut its power CUTS=50 times (as root)
	[ $(ARCH) = amd64 ] || packaging/image/apt $(ARCH) /var/tmp/hushbox-image/$(ARCH)/apt \
		fetch $(TARGET)/alsa-utils-$(ARCH) alsa-utils
	[ $(ARCH) != amd64 ] || packaging/deb/build amd64 $(TARGET)/release $(TARGET)/deb-next 99.0.0
	CUTS=$(CUTS) HUSHBOX_IMAGE=$(abspath $(TARGET))/image/hushbox-$(ARCH).img \
		HUSHBOX_PACKAGE=$(if $(filter amd64,$(ARCH)),$(abspath \
			$(TARGET))/deb-next/hushbox_99.0.0_amd64.deb) \
		HUSHBOX_PLAYER=$(PLAYER_$(ARCH)) HUSHBOX_REPORT=$(abspath $(TARGET))/image-tests.md \
		cargo test --test image -- --ignored --nocapture --test-threads 1 \
		$(STORIES_$(ARCH))

deny: ## check licences, sources and security advisories of the dependencies
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; else \
		echo 'deny: cannot reach the advisory database: advisories were NOT checked' >&2; \
	fi

# The crash test of `make test`, with hundreds of kills. The output names a seed that fails.
KILLS ?= 400
SEED ?= $(shell date +%s)
crash: setup ## kill the real box repeatedly under load (KILLS=400 SEED=…)
	CRASH_KILLS=$(KILLS) CRASH_SEED=$(SEED) cargo test --workspace $(PROFILE) --test daemon random_kills -- --nocapture

# Runs the targets of fuzz/ in the mutation loop of `make test`, for a fixed time. With a nightly
# toolchain and cargo-fuzz, libFuzzer runs them with sanitizers: cd fuzz; cargo +nightly fuzz run media
FUZZ_SECONDS ?= 600
fuzz: setup ## feed mutated input to every parser (FUZZ_SECONDS=600)
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test --workspace $(PROFILE) --test store fuzz -- --nocapture

scan: setup-scan setup ## attack a real portal with tests and a vulnerability scanner
	cargo test --workspace $(PROFILE) --test stories security -- --nocapture
	cargo test --workspace $(PROFILE) --test stories scanner -- --ignored --nocapture

requirements-coverage: ## list each requirement with its tests, in target/requirements-coverage.md
	cargo test --workspace $(PROFILE) --test lint every_requirement_has_a_test -- --nocapture

golden: setup ## create the data directory that compatibility tests open (for a new format version)
	cargo test --workspace $(PROFILE) --test store -- --ignored make_the_golden_store

bench: setup-bench ## measure the load that one core can carry
	cargo bench --workspace --bench '*'

pictures-desktop: setup ## retake the pictures of docs/desktop.md
	BLESS=1 cargo test --workspace $(PROFILE) --test desktop display:: -- --nocapture

deb-desktop: setup-build ## build the Debian package of the desktop client
	cargo build $(PROFILE) -p desktop -p screen --bins
	packaging/desktop/deb.sh $(TARGET)/release $(TARGET)

test-deb-desktop: deb-desktop ## test that package in a minimal Debian (as root, with mmdebstrap)
	packaging/desktop/try.sh $(TARGET)/hushbox-desktop_*.deb
