#!/usr/bin/env bash
# What a fresh Debian needs to build and check this project, and nothing that is there already.
#
#   scripts/install-deps.sh          to build and test: a C compiler and linker (the bundled SQLite), CA certificates
#   scripts/install-deps.sh --tools  also what .ci/run checks with: rustfmt, clippy, mdbook, cargo-deny
#   scripts/install-deps.sh --aarch64  only what scripts/test-aarch64.sh needs: a cross compiler and qemu, and Debian's
#                                    packages of that architecture made known to apt
#
# Rust itself comes from https://rustup.rs (1.95 or newer).
set -euo pipefail

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        echo "install-deps: need root for: $*" >&2
        return 1
    fi
}

if [ "${1:-}" = "--aarch64" ]; then
    command -v dpkg >/dev/null && command -v apt-get >/dev/null || exit 1
    dpkg --print-foreign-architectures | grep -qx arm64 || as_root dpkg --add-architecture arm64
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user >/dev/null
    exit 0
fi

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v git >/dev/null || packages+=(git)
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
if [ "${#packages[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "install-deps: no apt-get here; install by other means: ${packages[*]}" >&2
        exit 1
    fi
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null; then
    echo "install-deps: cargo is missing; install Rust 1.95 or newer from https://rustup.rs" >&2
    exit 1
fi

[ "${1:-}" = "--tools" ] || exit 0

cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# name, version requirement, further options: only when absent, for each takes minutes to build.
install() {
    local name=$1 version=$2
    shift 2
    command -v "$name" >/dev/null && return 0
    echo "install-deps: building $name $version"
    cargo install "$name" --version "$version" --locked --quiet "$@" </dev/null
}
install mdbook '^0.5' --no-default-features
install cargo-deny '^0.20'
