#!/usr/bin/env bash
# Makes a Debian 12 for the tests of the packages, once: minimal, as debootstrap would leave it, with apt's lists, the
# libraries that the desktop needs, and a session manager. Nothing of ours. The tests then need no network.
#   packaging/clean-debian.sh FILE.tar
set -euo pipefail

target="$1"
packages=(libwebkit2gtk-4.1-0 libayatana-appindicator3-1 libgtk-3-0 libxcb-shm0 libxcb-randr0 libxcb-xfixes0
    libxcb-damage0 libpipewire-0.3-0 hicolor-icon-theme dbus dbus-user-session dbus-x11 lxsession adduser)

mkdir -p "$(dirname "$target")"
# shellcheck disable=SC2016  # "$1" is the hook's: the new system's root
mmdebstrap --quiet --format=tar --mode=root --variant=minbase --components=main --include="$(IFS=,; echo "${packages[*]}")" \
    --aptopt='Acquire::GzipIndexes "true"' --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --skip=cleanup/apt/lists --dpkgopt=force-unsafe-io \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
    bookworm "$target.part" "deb http://deb.debian.org/debian bookworm main" "deb http://deb.debian.org/debian-security bookworm-security main"
mv "$target.part" "$target"
