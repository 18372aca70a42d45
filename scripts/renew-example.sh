#!/usr/bin/env bash
# Renews what README.md shows: runs the whole comparison (leave the machine alone meanwhile: two strategies take some
# 15 minutes, six some 40), and makes the table and the picture of its report from the result. Chromium takes the
# picture; without it the old one stays.
#
#   scripts/renew-example.sh [COMPARE ARGUMENT]...    a new run, of all six strategies with two replicas each by default
#   scripts/renew-example.sh --no-run                 table and picture of docs/example/results.json as it is
set -euo pipefail
cd "$(dirname "$0")/.."

loadtest=${CARGO_TARGET_DIR:-target}/release/loadtest
[ -x "$loadtest" ] || { echo "renew-example: build first: cargo build --release --workspace --bins" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case ${1:-} in
    --no-run) ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *)
        if [ $# -eq 0 ]; then
            for strategy in jwt session session-cached jwt-revocable introspection phantom; do
                set -- "$@" --strategy "$strategy"
            done
        fi
        # 4 is an answer as well: what cannot be told apart is shown as such.
        "$loadtest" compare --out "$work" "$@" || [ $? -eq 4 ]
        cp "$work/results.json" docs/example/results.json
        ;;
esac

{ "$loadtest" report docs/example/results.json --out "$work" || [ $? -eq 4 ]; } | sed '$d' >"$work/table"
awk -v table="$work/table" '
    /<!-- table -->/ { print; print "```text"; while ((getline line < table) > 0) print line; print "```"; inside = 1; next }
    /<!-- end of table -->/ { inside = 0 }
    !inside' README.md >"$work/README.md"
cp "$work/README.md" README.md

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$browser" ]; then
    # Root needs --no-sandbox; the page is our own and loads nothing.
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,2600 \
        --screenshot="$work/report.png" "file://$work/report.html" >/dev/null 2>&1
    cp "$work/report.png" docs/example/report.png
else
    echo "renew-example: no chromium here; docs/example/report.png is as it was" >&2
fi
