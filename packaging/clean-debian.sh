#!/usr/bin/env bash
# Makes a Debian 12 for the tests of the packages, once: minimal, as debootstrap would leave it, with apt's lists, the
# libraries that the desktop needs, and a session manager. Nothing of ours. The tests then need no network. It comes from
# where this system's own Debian packages come from.
#   packaging/clean-debian.sh FILE.tar
set -euo pipefail

target="$1"
packages=(libwebkit2gtk-4.1-0 libayatana-appindicator3-1 libgtk-3-0 libxcb-shm0 libxcb-randr0 libxcb-xfixes0
    libxcb-damage0 libpipewire-0.3-0 hicolor-icon-theme dbus dbus-user-session dbus-x11 lxsession adduser)

command -v mmdebstrap >/dev/null || { echo "clean-debian: mmdebstrap is needed (packaging/setup.sh test installs it)" >&2; exit 1; }
sources="$(apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT) # $(ORIGIN)' 'Created-By: Packages' \
    | sed -n 's/^\(deb [^ ]* bookworm[^ ]* main\) # Debian$/\1/p' | sort -u)"
[ -n "$sources" ] || { echo "clean-debian: apt knows no source of Debian 12 (bookworm)" >&2; exit 1; }
mkdir -p "$(dirname "$target")"
# shellcheck disable=SC2016  # "$1" is the hook's: the new system's root
mmdebstrap --quiet --format=tar --mode=root --variant=minbase --components=main --include="$(IFS=,; echo "${packages[*]}")" \
    --aptopt='Acquire::GzipIndexes "true"' --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --skip=cleanup/apt/lists --dpkgopt=force-unsafe-io \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
    bookworm "$target.part" - <<<"$sources"
mv "$target.part" "$target"
