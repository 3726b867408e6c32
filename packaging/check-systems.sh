#!/usr/bin/env bash
# Type-checks the recorder for the systems that it is built for and that cannot be run here.
#   Windows: rustc's standard library for the target, and Debian's mingw for the C and C++ in it.
#   macOS:   rustc's standard library for the target. There is no C compiler with Apple's headers here, so a stand-in
#            writes empty objects: Rust is checked in full, C and Swift are not.
# What is missing is skipped, and said so; HINDSIGHT_REQUIRE_SYSTEMS=1 makes that a failure.
set -euo pipefail

packages=(-p hindsight-agent-core -p hindsight-link -p hindsight-spool -p hindsight-seal -p hindsight-wire)

skip() {
    printf '\n*** NOT CHECKED: the recorder for %s: %s ***\n\n' "$1" "$2" >&2
    [ -z "${HINDSIGHT_REQUIRE_SYSTEMS:-}" ] || exit 1
}

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

windows() {
    local target=x86_64-pc-windows-gnu
    has_target "$target" || { skip Windows "rustup target add $target"; return; }
    command -v x86_64-w64-mingw32-gcc >/dev/null && command -v x86_64-w64-mingw32-g++ >/dev/null \
        || { skip Windows "apt-get install gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64"; return; }
    cargo check --release --locked --target "$target" "${packages[@]}"
    printf 'checked for Windows: the recorder (%s)\n' "$target"
}

macos() {
    local target=x86_64-apple-darwin compiler
    has_target "$target" || { skip macOS "rustup target add $target"; return; }
    stand_in="$(mktemp -d)"
    trap 'rm -rf "$stand_in"' EXIT
    compiler="$stand_in/cc"
    cat >"$compiler" <<'STAND_IN'
#!/bin/sh
# Writes an empty file where an object or archive is wanted.
case "$1" in cq*|rc*|s|D) [ -n "$2" ] && : >"$2" ;; esac
while [ "$#" -gt 0 ]; do
    case "$1" in -o) : >"$2"; shift ;; -o?*) : >"${1#-o}" ;; esac
    shift
done
STAND_IN
    chmod +x "$compiler"
    DOCS_RS=1 AWS_LC_SYS_CMAKE_BUILDER=0 CC_x86_64_apple_darwin="$compiler" CXX_x86_64_apple_darwin="$compiler" \
        AR_x86_64_apple_darwin="$compiler" \
        cargo check --release --locked --target "$target" "${packages[@]}"
    printf 'checked for macOS: the Rust of the recorder (%s)\n' "$target"
}

windows
macos
