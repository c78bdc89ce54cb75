#!/usr/bin/env bash
# The engine's unit tests built for aarch64 and run by qemu-user: the NEON kernels against the portable ones and the
# oracles, and with them whatever else the arguments name. Not a measure of speed: it is emulation.
#
#   scripts/test-aarch64.sh                kernel, face and finger tests
#   scripts/test-aarch64.sh kernel::       only these
#
# Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user (`sudo apt-get install` those), and a standard
# library for the target. With rustup that is `rustup target add aarch64-unknown-linux-gnu`. Where rustup has nothing to
# download from, Debian's rustc-web and libstd-rust-web of both architectures are unpacked into target/aarch64/debian
# and used instead; that takes `dpkg --add-architecture arm64` and `apt-get update` once.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=aarch64-unknown-linux-gnu
folder=$PWD/target/aarch64
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "test-aarch64: $tool is missing; see the head of this script" >&2; exit 1; }
done

# Debian's compiler as `rustc` with a sysroot of its own.
debian_rustc() {
    local root=$folder/debian/root wrapper=$folder/debian/rustc
    if [ ! -x "$wrapper" ]; then
        mkdir -p "$folder/debian/packages" "$root"
        (
            cd "$folder/debian/packages"
            library=$(apt-cache depends libstd-rust-web-dev | grep -om1 'libstd-rust-web-[0-9][0-9.]*')
            llvm=$(apt-cache depends "$library" | grep -om1 'libllvm[0-9]*' || true)
            apt-get download rustc-web ${llvm:+"$llvm"} "$library" "$library:arm64" libstd-rust-web-dev libstd-rust-web-dev:arm64
            for package in *.deb; do dpkg -x "$package" "$root"; done
        ) >&2
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q/usr/lib/x86_64-linux-gnu\nexec %q/usr/bin/rustc --sysroot %q/usr "$@"\n' \
            "$root" "$root" "$root" >"$wrapper"
        chmod +x "$wrapper"
    fi
    echo "$wrapper"
}

if [ -z "${RUSTC:-}" ] && [ ! -d "$(rustc --print target-libdir --target $triple 2>/dev/null)" ]; then
    RUSTC=$(debian_rustc)
    export RUSTC
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu"
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_DIR=$folder CARGO_INCREMENTAL=0

[ "$#" -gt 0 ] || set -- kernel:: face:: finger::
exec ${RUN_UNDER:-} cargo test --locked --target $triple -p duynhat-engine --lib -- --test-threads "$(nproc)" "$@"
