#!/usr/bin/env bash
# Renews what README.md, docs/results.md and docs/capacity.md show, all on one machine (leave it alone meanwhile, some 40
# minutes):
#
#   two           tokens and sessions compared at length: docs/example/results.json, compare.txt, the first table, the
#                 picture of the report, and what the capacity model makes of it
#   strategies    nine arms in the quick form: docs/example/strategies.txt and the tables of CPU times
#   freshness     200 logouts of each strategy: docs/example/freshness.txt and the table of lags
#
# The picture of the README, docs/example/strategies.svg, is drawn of the last two.
#
#   scripts/renew-example.sh [PART]...    these parts, all by default
#   scripts/renew-example.sh --no-run     tables and pictures of what is in docs/example
#
# Chromium takes the picture of the report; without it the old one stays. A run whose figures cannot be used (exit code 3) ends this
# script, and nothing of it is shown.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly EXAMPLE=docs/example
readonly STRATEGIES=(jwt session session-cached jwt-revocable introspection phantom)
readonly ARMS=(jwt jwt-remembered session session-cached jwt-revocable jwt-revocable-remembered introspection phantom
    phantom-remembered)

loadtest=${CARGO_TARGET_DIR:-target}/release/loadtest
[ -x "$loadtest" ] || { echo "renew-example: build first: cargo build --release --workspace --bins" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v jq >/dev/null || { echo "renew-example: jq is missing: scripts/install.sh jq" >&2; exit 69; }

# measure ARGUMENT...: runs the load test. 4 is an answer as well: what cannot be told apart is shown as such.
measure() {
    "$loadtest" "$@" || [ $? -eq 4 ]
}

# shown FILE ARGUMENT...: runs the load test and keeps the command and what it prints.
shown() {
    local file=$1
    shift
    measure "$@" >"$work/printed"
    { echo "\$ loadtest $*" | sed "s| --out $work||" | fold -s -w 110 | sed '2,$s/^/    /; $!s/ *$/ \\/'; grep -v '^/' "$work/printed"; } >"$file"
}

# put FILE MARKER: replaces what stands between <!-- MARKER --> and <!-- end of MARKER --> in a page by standard input.
put() {
    cat >"$work/block"
    [ -s "$work/block" ] || { echo "renew-example: nothing to show for $2" >&2; exit 1; }
    awk -v marker="$2" -v block="$work/block" '
        $0 == "<!-- " marker " -->" {
            print; print "```text"; while ((getline line < block) > 0) print line; print "```"; inside = 1; next
        }
        $0 == "<!-- end of " marker " -->" { inside = 0 }
        !inside' "$1" >"$work/page.md"
    cp "$work/page.md" "$1"
}

two() {
    measure compare --out "$work" --strategy jwt --strategy session --revocations 0
    # The histograms of single windows are half of the file, and nothing that is shown needs them.
    jq --compact-output '.windows[].histograms = {}' "$work/results.json" >$EXAMPLE/results.json
}

# Of the tables, one a load, the first and the last.
first_and_last_load() {
    awk 'NR == FNR { if ($0 ~ table) last = FNR; next }
        $0 ~ table { tables++; hidden = tables > 1 && FNR != last }
        /^Highest rate held/ { hidden = 0 }
        !hidden' table='^[0-9.]+ of the knee:' "$1" "$1"
}

# Of each load, the tables of CPU times and of ratios.
costs() {
    awk '/ CPU system .* CPU generator$/ || /^÷ / { shown = 1; if (any++) print "" }
        /^$/ || /^↑/ { shown = 0 }
        shown' "$1"
}

strategies() {
    # shellcheck disable=SC2046
    shown $EXAMPLE/strategies.txt compare --quick --revocations 0 --out "$work" $(printf -- '--strategy=%s ' "${ARMS[@]}")
}

freshness() {
    # shellcheck disable=SC2046
    shown $EXAMPLE/freshness.txt freshness --replicas 3 --revocations 200 --kind logout \
        $(printf -- '--strategy=%s ' "${STRATEGIES[@]}")
}

# The page that a browser shows, as a picture.
picture_of_report() {
    local browser
    browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    if [ -z "$browser" ]; then
        echo "renew-example: no chromium here; $EXAMPLE/report.png is as it was" >&2
        return
    fi
    # Root needs --no-sandbox; the page is our own and loads nothing.
    "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,2600 \
        --screenshot="$work/report.png" "file://$work/report.html" >/dev/null 2>&1
    cp "$work/report.png" $EXAMPLE/report.png
}

case ${1:-} in
    --no-run) ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    '') two; strategies; freshness ;;
    *)
        for part in "$@"; do
            case $part in
                two | strategies | freshness) "$part" ;;
                *) echo "renew-example: $part is not two, strategies or freshness" >&2; exit 2 ;;
            esac
        done
        ;;
esac

# The last line names a file that is gone afterwards.
measure report $EXAMPLE/results.json --out "$work" | sed '$d' >$EXAMPLE/compare.txt
first_and_last_load $EXAMPLE/compare.txt | put docs/results.md table
costs $EXAMPLE/strategies.txt | put docs/results.md strategies
sed -n '/^Revocation lag:/,$p' $EXAMPLE/freshness.txt | put docs/results.md freshness
measure capacity $EXAMPLE/results.json --rate 100k --active-users 5M --logout-within 1m |
    sed '/^What it rests on/,$d' | sed '$d' | put docs/capacity.md capacity
scripts/picture.py >"$work/strategies.svg"
cp "$work/strategies.svg" $EXAMPLE/strategies.svg
picture_of_report
