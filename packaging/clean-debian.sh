#!/usr/bin/env bash
# Makes a clean Debian 12 for the test of the packages, once: minimal, as debootstrap would leave it, with apt's lists and
# the archives (not installed) of what the desktop needs, so that the test itself needs no network.
#   packaging/clean-debian.sh FILE.tar
set -euo pipefail

target="$1"
# What the desktop's package depends on, and a session manager with a display's tools to start it at a login.
archives=(libwebkit2gtk-4.1-0 libayatana-appindicator3-1 libgtk-3-0 libxcb-shm0 libxcb-randr0 libxcb-xfixes0
    libxcb-damage0 libpipewire-0.3-0 hicolor-icon-theme gnome-keyring dbus dbus-user-session lxsession dbus-x11 adduser)

mkdir -p "$(dirname "$target")"
# shellcheck disable=SC2016  # "$1" is the hook's: the new system's root
mmdebstrap --quiet --format=tar --mode=root --variant=minbase --components=main \
    --aptopt='Acquire::GzipIndexes "true"' --aptopt='Acquire::Languages "none"' \
    --skip=cleanup/apt/lists --skip=cleanup/apt/cache \
    --customize-hook='chroot "$1" apt-get clean' \
    --customize-hook="chroot \"\$1\" apt-get install --yes --quiet --quiet --download-only --no-install-recommends ${archives[*]}" \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
    bookworm "$target.part" "deb http://deb.debian.org/debian bookworm main" "deb http://deb.debian.org/debian-security bookworm-security main"
mv "$target.part" "$target"
