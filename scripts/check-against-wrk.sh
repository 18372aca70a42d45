#!/usr/bin/env bash
# Whether `loadtest run` agrees with wrk: the same URLs, the same credential, a closed loop on the
# same number of connections, in alternating rounds. Fails when the medians differ by more than 10 %.
# Run it on a quiet machine: beside a build, wrk differs from itself by a factor of two.
#
#   scripts/check-against-wrk.sh            starts its own stack; needs wrk, jq, curl, redis-server
#   ROUNDS=5 SECONDS_EACH=5 CONNECTIONS=32  as given here by default
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
bin=${BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}

for program in wrk jq curl; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 2; }
done
[ -x "$bin/loadtest" ] || { echo "build first: cargo build --release --workspace --bins" >&2; exit 2; }

work=$(mktemp -d)
stack=
end() {
    if [ -n "$stack" ]; then
        kill -TERM "$stack" 2>/dev/null || true
        wait "$stack" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap end EXIT

"$bin/loadtest" stack up --strategy jwt --strategy session --replicas 2 \
    --ready-file "$work/ready.json" >"$work/stack.log" 2>&1 &
stack=$!
for _ in $(seq 300); do
    [ -s "$work/ready.json" ] && break
    kill -0 "$stack" 2>/dev/null || { cat "$work/stack.log" >&2; exit 1; }
    sleep 0.1
done
gateway=$(jq -er .gateway "$work/ready.json")

post() {
    curl -sS --fail-with-body -H 'content-type: application/json' -d "$2" "$gateway/auth/$1"
}
user="wrk-$$-$(date +%s)"
password="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
post register "{\"username\":\"$user\",\"password\":\"$password\"}" >/dev/null
credential() { # kind, field
    post login "{\"username\":\"$user\",\"password\":\"$password\",\"credential\":\"$1\"}" | jq -er ".$2"
}
jwt=$(credential token access_token)
session=$(credential session session_id)

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

worst=0
for strategy in jwt session; do
    url="$gateway/$strategy/me"
    header="Authorization: Bearer ${!strategy}"
    : >"$work/wrk"
    : >"$work/ours"
    for round in $(seq "$rounds"); do
        # The order turns with each round, so that a drift of the machine meets both alike.
        order="wrk ours"
        [ $((round % 2)) -eq 0 ] && order="ours wrk"
        for who in $order; do
            if [ "$who" = wrk ]; then
                wrk -t1 -c"$connections" -d"${seconds}s" -H "$header" "$url" >"$work/wrk.out"
                if grep -q -e 'Non-2xx' -e 'Socket errors' "$work/wrk.out"; then
                    cat "$work/wrk.out" >&2
                    exit 1
                fi
                awk '/Requests\/sec/ { print $2 }' "$work/wrk.out" >>"$work/wrk"
            else
                "$bin/loadtest" run --url "$url" --connections "$connections" --duration "${seconds}s" \
                    --warmup 0s --header "$header" --max-error-ratio 0 --out "$work/ours.json" >"$work/ours.out" \
                    || { cat "$work/ours.out" >&2; exit 1; }
                jq .achieved_per_second "$work/ours.json" >>"$work/ours"
            fi
        done
    done
    theirs=$(median <"$work/wrk")
    ours=$(median <"$work/ours")
    awk -v s="$strategy" -v w="$theirs" -v o="$ours" 'BEGIN {
        printf "%-8s wrk %.0f requests/s, loadtest %.0f requests/s: ratio %.3f\n", s, w, o, o / w }'
    worst=$(awk -v w="$theirs" -v o="$ours" -v worst="$worst" 'BEGIN {
        d = o / w - 1; if (d < 0) d = -d; print (d > worst) ? d : worst }')
done
awk -v worst="$worst" 'BEGIN { exit (worst <= 0.10) ? 0 : 1 }' || { echo "they differ by more than 10 %" >&2; exit 1; }
