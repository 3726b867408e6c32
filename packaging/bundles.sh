#!/usr/bin/env bash
# Bundles of the desktop for systems other than Debian and its like, by Tauri's bundler, from the programs that
# `make build desktop` left; compiles nothing. Each refuses, saying why, where its tools or its system are absent: nothing
# is downloaded here.
#   packaging/bundles.sh appimage|msi|dmg
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
bin="${CARGO_TARGET_DIR:-$root/target}/release"
refuse() { printf 'bundles: %s is not built here: %s\n' "$1" "$2" >&2; exit 2; }

need_tauri() {
    command -v cargo-tauri >/dev/null || command -v tauri >/dev/null \
        || refuse "$1" "the bundler is missing (npm install --global @tauri-apps/cli@2, or cargo install tauri-cli --version ^2 --locked)"
}

# The recorder goes beside the window's program; Tauri wants them named by their system.
sidecars() {
    local triple suffix="$2"
    triple="$(rustc -vV | sed -n 's/^host: //p')"
    for program in hindsight-recorder; do
        [ -f "$bin/$program$suffix" ] || refuse "$1" "$bin/$program$suffix is not built"
        install -D -m 0755 "$bin/$program$suffix" "$root/target/sidecars/$program-$triple$suffix"
    done
    [ -f "$bin/hindsight-desktop$suffix" ] || refuse "$1" "$bin/hindsight-desktop$suffix is not built"
}

bundle() {
    local tauri=(cargo tauri)
    command -v cargo-tauri >/dev/null || tauri=(tauri)
    (cd "$root/src-tauri" && "${tauri[@]}" bundle --bundles "$1" --no-sign --config tauri.bundle.conf.json)
}

case "${1:-}" in
    appimage)
        [ "$(uname -s)" = Linux ] || refuse AppImage "it is built on Linux"
        need_tauri AppImage
        # The bundler fetches these at first use; they must be there before.
        tools="${XDG_CACHE_HOME:-$HOME/.cache}/tauri"
        for tool in "linuxdeploy-$(uname -m).AppImage" linuxdeploy-plugin-gtk.sh "AppRun-$(uname -m)"; do
            [ -e "$tools/$tool" ] || refuse AppImage "$tools/$tool is missing (tauri-apps/binary-releases on GitHub)"
        done
        sidecars AppImage ""
        bundle appimage ;;
    msi)
        case "$(uname -s)" in MINGW*|MSYS*|CYGWIN*) ;; *) refuse msi "WiX runs on Windows only" ;; esac
        need_tauri msi
        command -v candle >/dev/null || [ -d "${LOCALAPPDATA:-}/tauri/WixTools314" ] || refuse msi "the WiX toolset 3.14 is missing"
        sidecars msi .exe
        bundle msi ;;
    dmg)
        [ "$(uname -s)" = Darwin ] || refuse dmg "hdiutil and codesign exist on macOS only"
        need_tauri dmg
        sidecars dmg ""
        bundle dmg ;;
    *) printf 'usage: packaging/bundles.sh appimage|msi|dmg\n' >&2; exit 2 ;;
esac
