#!/usr/bin/env bash
# Fuzzes every target for some seconds: scripts/fuzz.sh SECONDS [TARGET...]
# Works with a stable compiler: coverage is a pass of LLVM, and libFuzzer comes with its crate. A finding ends it with
# the input in target/fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(awk -F '"' '/^\[\[bin\]\]/ { bin = 1 } bin && /^name/ { print $2; bin = 0 }' fuzz/Cargo.toml)
fi

# The versions of the workspace; what only the targets need is added to them.
[ fuzz/Cargo.lock -nt Cargo.lock ] || { cp Cargo.lock fuzz/Cargo.lock && touch fuzz/Cargo.lock; }
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "${CARGO_TARGET_DIR:-target}/fuzz"
out=$(cd "${CARGO_TARGET_DIR:-target}/fuzz" && pwd)
# As cargo-fuzz sets them, without a sanitizer, which only a nightly compiler has. With --target only what is fuzzed is
# compiled so, and not what compiles it.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --manifest-path fuzz/Cargo.toml --release --target "$host" --target-dir "$out"

for target in "${targets[@]}"; do
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    log=$out/$target.log
    # New inputs go to the first folder, the seeds are only read. Memory and the time for one input are bounded too.
    "$out/$host/release/$target" "$out/corpus/$target" "fuzz/seeds/$target" \
        -artifact_prefix="$out/artifacts/$target/" -max_total_time="$seconds" -max_len=16384 -timeout=5 \
        -rss_limit_mb=1024 -print_final_stats=1 2>"$log" || {
        tail -n 40 "$log" >&2
        echo "fuzz: $target failed; the input is in $out/artifacts/$target/" >&2
        exit 1
    }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    echo "fuzz: $target: ${runs:-0} runs, $coverage edges, no finding"
done
