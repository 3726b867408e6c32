#!/usr/bin/env bash
# Makes packages of the programs that `make build` left in the target directory; compiles nothing.
#   packaging/packages.sh deb|rpm [desktop] [server]        both when none is named
# Variables: CARGO_TARGET_DIR; OUT (default: packages/ in it); VERSION (default: Cargo.toml's);
#            COMPRESSION: as dpkg-deb knows it (default: xz);
#            UPDATE_KEYS: directory of minisign public keys (*.pub) whose updates the desktop will install.
# The same programs give the same bytes: times are those of the last commit (or SOURCE_DATE_EPOCH).
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd -P)"
root="$(dirname "$here")"
bin="${CARGO_TARGET_DIR:-$root/target}/release"
out="${OUT:-$(dirname "$bin")/packages}"
version="${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")}"
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
umask 022

fail() { printf 'packages: %s\n' "$*" >&2; exit 1; }

# put MODE SOURCE TARGET: into the tree of the package being made.
put() { install -D -m "$1" "$2" "$tree$3"; }

# put_program NAME: without what only a debugger reads.
put_program() {
    [ -x "$bin/$1" ] || fail "$bin/$1 is not built: \`make build\` first"
    put 0755 "$bin/$1" "/usr/bin/$1"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note.gnu.build-id "$tree/usr/bin/$1"
}

put_documents() {
    put 0644 "$here/$1/README" "/usr/share/doc/$package/README"
    put 0644 "$here/copyright" "/usr/share/doc/$package/copyright"
    put 0644 "$root/CHANGELOG.md" "/usr/share/doc/$package/CHANGELOG.md"
}

# stage_desktop FORMAT
stage_desktop() {
    put_program hindsight-desktop
    put_program hindsight-recorder
    put_program hindsight-update
    put 0644 "$here/desktop/hindsight-desktop.desktop" /usr/share/applications/hindsight-desktop.desktop
    put 0644 "$here/desktop/hindsight-autostart.desktop" /etc/xdg/autostart/hindsight-desktop.desktop
    put 0644 "$root/src-tauri/icons/icon.svg" /usr/share/icons/hicolor/scalable/apps/hindsight-desktop.svg
    put 0644 "$here/desktop/hindsight-recorder.service" /usr/lib/systemd/user/hindsight-recorder.service
    put 0644 "$here/desktop/hindsight-update.service" /usr/lib/systemd/system/hindsight-update.service
    put 0644 "$here/desktop/hindsight-update.path" /usr/lib/systemd/system/hindsight-update.path
    # On without a script; `systemctl mask hindsight-update.path` turns updates off.
    install -d "$tree/usr/lib/systemd/system/multi-user.target.wants"
    ln -s ../hindsight-update.path "$tree/usr/lib/systemd/system/multi-user.target.wants/hindsight-update.path"
    put 0644 "$here/desktop/hindsight.tmpfiles" /usr/lib/tmpfiles.d/hindsight.conf
    install -d -m 1733 "$tree/var/spool/hindsight-update"
    install -d "$tree/etc/hindsight" "$tree/usr/share/hindsight/update-keys"
    printf '{"version":"%s","format":"%s","architecture":"%s"}\n' "$version" "$1" "$(uname -m)" \
        > "$tree/usr/share/hindsight/package.json"
    chmod 0644 "$tree/usr/share/hindsight/package.json"
    local key
    for key in "${UPDATE_KEYS:-/nonexistent}"/*.pub; do
        [ ! -f "$key" ] || put 0644 "$key" "/usr/share/hindsight/update-keys/$(basename "$key")"
    done
    put 0644 "$here/desktop/recorder.toml" /usr/share/doc/hindsight-desktop/recorder.toml
    put_documents desktop
}

stage_server() {
    put_program hindsight-server
    put 0644 "$here/server/hindsight-server.service" /usr/lib/systemd/system/hindsight-server.service
    put 0644 "$here/demo-site.toml" /usr/share/doc/hindsight-server/demo-site.toml
    put 0644 "$here/operator-guide.md" /usr/share/doc/hindsight-server/operator-guide.md
    put_documents server
}

desktop_summary="Calls and recordings of a contact centre's agent"
desktop_description=" Records the screens of the agent who is signed in while the server of
 the site says so, sealed before they touch a disk, and shows calls and
 recordings in a window that is made on demand."
# What the linker cannot see: the tray's library is loaded when it is there; a key store and a bus belong to a session.
desktop_depends="libayatana-appindicator3-1, hicolor-icon-theme"
desktop_recommends="default-dbus-session-bus | dbus-session-bus, gnome-keyring | keepassxc, xdg-utils, gstreamer1.0-libav | gstreamer1.0-plugins-bad"
server_summary="Calls and screens of a contact centre: recorded, sealed, found, replayed"
server_description=" SIP server, resource manager, media server, crypto server, recording
 processor and web services in one program, on one host or on several."
server_depends="adduser"
server_recommends=""

# Libraries of the programs, with the oldest version that has the symbols they use.
library_depends() {
    local work
    work="$(mktemp -d)"
    mkdir "$work/debian"
    printf 'Source: hindsight\n\nPackage: %s\nArchitecture: any\n' "$package" > "$work/debian/control"
    (cd "$work" && dpkg-shlibdeps -O -x"$package" "$tree"/usr/bin/* 2>"$work/said") | sed -n 's/^shlibs:Depends=//p' \
        || { cat "$work/said" >&2; fail "the libraries of $package cannot be found out"; }
    rm -rf "$work"
}

clamp_times() { find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

make_deb() {
    local part="$1" libraries depends_of="${1}_depends" recommends_of="${1}_recommends" summary_of="${1}_summary" description_of="${1}_description"
    libraries="$(library_depends)"
    install -d "$tree/DEBIAN"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\n' "$package" "${version/-/\~}" "$(dpkg --print-architecture)"
        printf 'Maintainer: Hindsight maintainers <maintainers@hindsight.example>\nSection: misc\nPriority: optional\n'
        printf 'Installed-Size: %s\n' "$(du -sk --exclude=DEBIAN "$tree" | cut -f1)"
        printf 'Depends: %s\n' "$libraries${!depends_of:+, ${!depends_of}}"
        [ -z "${!recommends_of}" ] || printf 'Recommends: %s\n' "${!recommends_of}"
        printf 'Description: %s\n%s\n' "${!summary_of}" "${!description_of}"
    } > "$tree/DEBIAN/control"
    (cd "$tree" && find . -path './etc/*' -type f -printf '/%P\n' | LC_ALL=C sort) > "$tree/DEBIAN/conffiles"
    [ -s "$tree/DEBIAN/conffiles" ] || rm "$tree/DEBIAN/conffiles"
    (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) > "$tree/DEBIAN/md5sums"
    local script
    for script in postinst prerm postrm; do install -m 0755 "$here/$part/$script" "$tree/DEBIAN/$script"; done
    clamp_times
    dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --threads-max=2 --build "$tree" "$out/${package}_${version/-/\~}_$(dpkg --print-architecture).deb" >/dev/null
    printf 'packages: %s\n' "$out/${package}_${version/-/\~}_$(dpkg --print-architecture).deb"
}

make_rpm() {
    command -v rpmbuild >/dev/null || fail "rpmbuild is missing (Debian package rpm)"
    local part="$1" work
    work="$(mktemp -d)"
    clamp_times
    # rpmbuild finds the libraries itself, by their names, so that the package fits any distribution that has them.
    rpmbuild -bb --quiet --target "$(uname -m)" \
        --define "_topdir $work" --define "_rpmdir $out" --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
        --define "staged $tree" --define "version_of_package ${version/-/\~}" \
        --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" \
        --define "_build_id_links none" --define "__os_install_post %{nil}" --define "_unitdir /usr/lib/systemd/system" \
        "$here/rpm/hindsight-$part.spec" 2> "$work/said" || { cat "$work/said" >&2; fail "rpmbuild"; }
    rm -rf "$work"
    printf 'packages: %s\n' "$out/$package-${version/-/\~}-1.$(uname -m).rpm"
}

format="${1:-}"
[ "$#" -gt 0 ] && shift
case "$format" in deb|rpm) ;; *) fail "usage: packaging/packages.sh deb|rpm [desktop] [server]" ;; esac
[ "$#" -gt 0 ] || set -- desktop server
mkdir -p "$out"
for part in "$@"; do
    package="hindsight-$part"
    tree="$(mktemp -d)"
    trap 'rm -rf "$tree"' EXIT
    chmod 0755 "$tree"
    case "$part" in
        desktop) stage_desktop "$format" ;;
        server) stage_server ;;
        *) fail "no package $part (desktop, server)" ;;
    esac
    "make_$format" "$part"
    rm -rf "$tree"
done
