#!/usr/bin/env bash
# Feeds hostile bytes to every format, guided by the branches that they reach:  tests/fuzz/run.sh [seconds] [target ...]
# Each target has the given seconds (default 75: ten minutes in all). Builds apart from everything else, with counters.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds="${1:-75}"
[ "$#" -eq 0 ] || shift
host="$(rustc -vV | sed -n 's/^host: //p')"
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on)
# With a target named, these flags reach no build script.
CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f'; printf '%s' "${flags[*]}")" \
    cargo build --release --locked --target "$host" -p hindsight-fuzz
nice -n 19 "${CARGO_TARGET_DIR:-target}/$host/release/hindsight-fuzz" "$seconds" "$@"
