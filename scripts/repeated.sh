#!/usr/bin/env bash
# Whether runs agree with each other: the same comparison several times, one after the other, and what each says of
# session ÷ jwt. Prints the tables of docs/repeated.md.
#
# usage: scripts/repeated.sh [FOLDER]   runs 5 quick and 3 full comparisons into FOLDER (45 minutes, leave the machine alone)
#        scripts/repeated.sh --no-run FOLDER...    tables of comparisons that are there
set -euo pipefail
cd "$(dirname "$0")/.."

command -v jq >/dev/null || { echo "repeated: jq is missing: scripts/install.sh jq" >&2; exit 69; }
case ${1:-} in
    --no-run) shift; runs=("$@") ;;
    *)
        loadtest=${BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}/loadtest
        [ -x "$loadtest" ] || { echo "repeated: build first: cargo build --release --workspace --bins" >&2; exit 66; }
        folder=${1:-statewise-results/repeated}
        runs=()
        for form in quick-{1..5} full-{1..3}; do
            quick=()
            if [ "${form%-*}" = quick ]; then quick=(--quick); fi
            # 3 and 4 are answers as well, and the table says so.
            "$loadtest" compare "${quick[@]}" --revocations 0 --out "$folder/$form" >&2 || [ $? -ge 3 ]
            runs+=("$folder/$form")
        done
        ;;
esac

row() { jq -r "$1" "$2/results.json"; }
echo '| run | word | load | CPU of the system, session ÷ jwt | | p50, session ÷ jwt | | p99 | |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
for run in "${runs[@]}"; do
    row 'def two: . * 100 | round / 100;
        def cell($metric; $load): first(.comparisons[] | select(.metric == $metric and .conditions.load == $load
            and .candidate == "session")) | "\(.ratio | two) [\(.ci_low | two), \(.ci_high | two)] | \(.verdict)";
        . as $all | [.plan.conditions[].load] | to_entries[] | .value as $load |
        "| \(if .key > 0 then "" elif $all.plan.quick then "quick" else "full" end) | \(if .key > 0 then "" else $all.validity end) "
        + "| \($load) | \($all | cell("cpu_us_per_request"; $load)) | \($all | cell("response_time_p50"; $load)) "
        + "| \($all | cell("response_time_p99"; $load)) |"' "$run"
done
echo
echo '| run | highest rate, jwt | session | session ÷ jwt |'
echo '| --- | --- | --- | --- |'
for run in "${runs[@]}"; do
    row 'def shown: "\(.value | round)" + (if .low then " [\(.low | round), \(.high | round)]" else "" end);
        [.capacities[].rate_per_second] as [$jwt, $session] |
        "| \(if .plan.quick then "quick" else "full" end) | \($jwt | shown) | \($session | shown) | \($session.value / $jwt.value * 100 | round / 100) |"' "$run"
done
