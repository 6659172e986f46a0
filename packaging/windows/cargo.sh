#!/usr/bin/env bash
# Runs cargo for Windows (x86_64-pc-windows-gnu): packaging/windows/cargo.sh build --release -p desktop
#
# Uses the target's standard library if rustup has installed it. Otherwise it takes the library's
# source, of exactly the compiler's version, from Debian's backports, and lets cargo build it.
# Output: target/windows. Programs and tests run with wine.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
target=x86_64-pc-windows-gnu
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/windows}
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=${RUNNER:-wine}

verb=$1
shift
if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    exec cargo "$verb" --target "$target" "$@"
fi

version=$(rustc --version | cut -d ' ' -f 2)
work=${HUSHBOX_RUST_SRC:-$root/target/rust-src}
library=$work/usr/src/rustc-$version/library
if [ ! -d "$library" ]; then
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    # shellcheck disable=SC2016  # apt expands it
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -m 1 "/debian/*\$") ||
        mirror=http://deb.debian.org/debian
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keyring] $mirror trixie-backports main" >"$work/newer.list"
    apt=("-oDir::Etc::sourcelist=$work/newer.list" -oDir::Etc::sourceparts=/dev/null
        "-oDir::State::lists=$work/lists" -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache=
        "-oDir::Cache::archives=$work/archives" -oAPT::Sandbox::User=root)
    apt-get "${apt[@]}" -q update >&2
    package=$(apt-cache "${apt[@]}" madison rust-src | awk '{ print $3 }' | grep -m 1 "^$version+") || {
        echo "cargo.sh: Debian's backports have no rust-src $version, the version of this rustc." >&2
        echo "cargo.sh: install the target instead: rustup target add $target" >&2
        exit 1
    }
    (cd "$work/archives" && apt-get "${apt[@]}" -q download "rust-src=$package" >&2)
    dpkg -x "$work"/archives/rust-src_"$version"*.deb "$work"
fi
# -Zbuild-std is unstable, hence the bootstrap flag; cargo's tests name the source by this variable.
export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$library
exec cargo "$verb" -Zbuild-std=std,panic_abort,panic_unwind --target "$target" "$@"
