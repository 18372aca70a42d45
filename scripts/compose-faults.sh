#!/usr/bin/env bash
# Breaks one part of the running Compose system after the other, under an even load, and tells what share of its requests
# each strategy answers well meanwhile:
#
#   docker compose up --build --detach && scripts/compose-faults.sh
#   scripts/compose-faults.sh [COMPOSE OPTION]...    of another project: --project-name NAME and the like
#
# Whoever runs it may use docker on this machine; nothing inside of the system can break it (docs/adr/0043). Redis keeps
# nothing, so whoever has a session is logged out by it. Writes statewise-results/faults.json. Ends with 1 when a request
# was refused with 401 while nobody could know.
#
#   RATE=50    requests a second of each strategy
#   LASTS=3    seconds of each fault
set -euo pipefail
cd "$(dirname "$0")/.."

readonly RATE=${RATE:-50} LASTS=${LASTS:-3}
readonly GATEWAY=http://127.0.0.1:${STATEWISE_PORT:-8080}
readonly ADMIN=http://127.0.0.1:${STATEWISE_ADMIN_PORT:-9901}
readonly OUT=${OUT:-statewise-results}
readonly FAULTS=(redis_hung redis_killed auth_killed replica_killed)
# What the load test writes is to belong to whoever runs this.
STATEWISE_USER=$(id -u):$(id -g)
export STATEWISE_USER
options=("$@")

fail() {
    echo "compose-faults: $*" >&2
    exit 1
}

for tool in docker curl jq; do
    command -v "$tool" >/dev/null || fail "$tool is missing: scripts/install.sh $tool"
done
if docker compose version >/dev/null 2>&1; then compose_command=(docker compose); else compose_command=(docker-compose); fi

compose() {
    "${compose_command[@]}" "${options[@]}" "$@"
}

# The first container of a service.
container() {
    local ids
    ids=$(compose ps --quiet "$1")
    [ -n "$ids" ] || fail "there is no container of $1"
    echo "${ids%%$'\n'*}"
}

mkdir -p "$OUT"
[ -w "$OUT" ] || fail "$OUT cannot be written to, so nothing is broken"
work=$(mktemp -d)
broken=()

# Whatever happens, nothing stays broken.
mend() {
    local id
    for id in "${broken[@]}"; do
        docker unpause "$id" >/dev/null 2>&1 || true
        docker start "$id" >/dev/null 2>&1 || true
    done
    broken=()
}

load=
finish() {
    local code=$?
    mend
    [ -z "$load" ] || kill "$load" 2>/dev/null || true
    rm -rf "$work" "$work.cells"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Makes a fault, of the containers that `mend` undoes it for.
break_it() {
    local strategy
    case $1 in
        redis_*) broken=("$(container redis)") ;;
        auth_*) mapfile -t broken < <(compose ps --quiet auth-service) ;;
        replica_*) for strategy in "${strategies[@]}"; do broken+=("$(container "api-$strategy")"); done ;;
    esac
    case $1 in
        *_hung) docker pause "${broken[@]}" >/dev/null ;;
        *_killed) docker kill "${broken[@]}" >/dev/null ;;
    esac
}

post() {
    curl --silent --fail --max-time 10 --header 'Content-Type: application/json' --data "$2" "$GATEWAY$1"
}

name=faults-$$-$RANDOM
password=$(head -c 18 /dev/urandom | base64)
user=$(jq -nc --arg name "$name" --arg password "$password" '{username: $name, password: $password}')
declare -A credential

log_in() {
    credential[token]=$(post /auth/login "$(jq -c '. + {credential: "token"}' <<<"$user")" | jq -er .access_token) &&
        credential[session]=$(post /auth/login "$(jq -c '. + {credential: "session"}' <<<"$user")" | jq -er .session_id)
}

kind_of() {
    case $1 in jwt*) echo token ;; *) echo session ;; esac
}

# Whether every strategy knows its caller, several times in a row: each replica has its turn.
all_answer() {
    local strategy
    log_in || return 1
    for strategy in "${strategies[@]}"; do
        curl --silent --fail --fail-early --max-time 5 --output /dev/null --header "Authorization: Bearer ${credential[$(kind_of "$strategy")]}" \
            "$GATEWAY/$strategy/me?n=[1-10]" || return 1
    done
}

wait_for_all() {
    local deadline=$((SECONDS + 90))
    until all_answer; do
        [ "$SECONDS" -lt "$deadline" ] || fail "after 90 s not every strategy answers: $1"
        sleep 0.5
    done
}

# One container sends the load of all strategies, from the moment on when it is told to.
measure() {
    local fault=$1 strategy script='touch /results/here; timeout 120 sh -c "until [ -e /results/go ]; do sleep 0.05; done" || exit 1;'
    rm -f "$work"/*
    for strategy in "${strategies[@]}"; do
        script+=" loadtest run --url http://gateway:8080/$strategy/me --header 'Authorization: Bearer ${credential[$(kind_of "$strategy")]}'"
        script+=" --rate $RATE --duration ${LASTS}s --warmup 0s --deadline 1s --out /results/$strategy.json >/results/$strategy.log 2>&1 &"
    done
    compose run --rm --no-deps -T --volume "$work:/results" --entrypoint sh loadtest -c "$script wait" >"$work/run.log" 2>&1 </dev/null &
    load=$!
    local deadline=$((SECONDS + 60))
    until [ -e "$work/here" ]; do
        if ! kill -0 "$load" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            cat "$work/run.log" >&2
            fail "the load could not be started"
        fi
        sleep 0.05
    done
    break_it "$fault"
    touch "$work/go"
    wait "$load" || true
    load=
    mend
    for strategy in "${strategies[@]}"; do
        jq -c --arg fault "$fault" --arg strategy "$strategy" '
            def of(status): [.answers[] | select(.status == status) | .count] | add // 0;
            {fault: $fault, strategy: $strategy, requests, good: of(200), refused: of(401)}' "$work/$strategy.json" >>"$work.cells" || {
            cat "$work/$strategy.log" >&2
            fail "no result of $strategy"
        }
    done
}

pools=$(curl --silent --fail "$ADMIN/pools") || fail "nothing answers at $ADMIN/pools: is the system up, and STATEWISE_ADMIN_PORT its?"
mapfile -t strategies < <(jq -r '.pools | to_entries[] | select(.key != "auth" and (.value.upstreams | length) > 0) | .key' <<<"$pools")
for strategy in "${strategies[@]}"; do
    [[ $strategy =~ ^[a-z-]+$ ]] || fail "a pool has a name that no strategy has: $strategy"
done
[ ${#strategies[@]} -gt 0 ] || fail "the gateway has no pool of a strategy"
post /auth/register "$user" >/dev/null || fail "nobody can be registered at $GATEWAY"

: >"$work.cells"
for fault in "${FAULTS[@]}"; do
    wait_for_all "before $fault"
    echo "compose-faults: $fault" >&2
    measure "$fault"
done
wait_for_all "after the last fault"

jq -s --argjson rate "$RATE" --argjson lasts "$LASTS" '{rate_per_second: $rate, fault_seconds: $lasts, cells: .}' "$work.cells" >"$OUT/faults.json"
jq -r '
    def left(n): . + " " * (n - length);
    def right(n): " " * (n - length) + .;
    def width: [length + 2, 8] | max;
    (.cells | map(.strategy) | unique) as $strategies
    | "Answered well in the fault: \(.rate_per_second) requests/s each, \(.fault_seconds) s; 200 within 1 s",
      ([("" | left(16))] + ($strategies | map(right(width))) | join("")),
      (.cells | group_by(.fault)[] | . as $row
        | [($row[0].fault | left(16))] + ($strategies | map(. as $s
            | ($row[] | select(.strategy == $s) | "\(if .requests > 0 then (1000 * .good / .requests | round / 10) else "-" end) %") | right($s | width)))
        | join("")),
      "\(.cells | map(.refused) | add) × 401 while nobody could know"' "$OUT/faults.json"
echo "results: $OUT/faults.json"
jq -e 'all(.cells[]; .refused == 0)' "$OUT/faults.json" >/dev/null
