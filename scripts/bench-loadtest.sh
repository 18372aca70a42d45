#!/usr/bin/env bash
# What the load generator costs and measures beside its peers: the same target, rate and number of
# connections, in turns within one run, on this machine. Targets are a bare nginx with one worker, and
# our gateway with an API behind it.
#
#   open loop     loadtest, oha and wrk2, equal gaps: CPU time per request, p50, p99, achieved rate
#   closed loop   loadtest and wrk: answers per second, which must agree within 5 % (LIMIT)
#
# How to read it: wrk2 and oha wake up once a millisecond and send what has become due since, all at
# once. That is cheap, and their latencies contain the wait. loadtest wakes up for each request.
# loadtest's times end when the kernel has received an answer, the others' when they have read it.
#
# usage: scripts/bench-loadtest.sh
#   ROUNDS=3  SECONDS_EACH=5  CONNECTIONS=32  RATES="2000 8000 16000"  TARGETS="nginx gateway"
#   STRATEGY=jwt   what the gateway's API checks: jwt or session
#   BIN_DIR=dir    the release binaries          (default: target/release)
#   WRK2=program   https://github.com/giltene/wrk2, built by hand; without it its rows are left out
#   OHA=program    oha                           (default: cargo install, into the target folder)
#   LIMIT=5        fails when the closed loops differ by more percent; empty: never
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin

rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
rates=${RATES:-2000 8000 16000}
targets=${TARGETS:-nginx gateway}
strategy=${STRATEGY:-jwt}
limit=${LIMIT-5}
bin=${BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
oha_version=1.16.0
oha=${OHA:-${CARGO_TARGET_DIR:-target}/bench-peers/bin/oha}
wrk2=${WRK2:-}

fail() {
    echo "bench-loadtest: $2" >&2
    exit "$1"
}
for program in nginx wrk jq awk; do
    command -v "$program" >/dev/null || fail 69 "$program is missing: scripts/install.sh nginx wrk jq"
done
[ -x "$bin/loadtest" ] || fail 66 "$bin/loadtest is missing: cargo build --release --locked --workspace --bins"
if [ ! -x "$oha" ] && [ -z "${OHA:-}" ]; then
    cargo install oha --version "$oha_version" --locked --quiet --root "${CARGO_TARGET_DIR:-target}/bench-peers" || true
fi
peers=(loadtest)
if [ -x "$oha" ]; then peers+=(oha); else echo "oha could not be installed: its rows are left out"; fi
if [ -n "$wrk2" ] && [ -x "$wrk2" ]; then peers+=(wrk2); else echo "WRK2 names no program: the rows of wrk2 are left out"; fi

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

declare -A url
token=none
start_nginx() {
    while :; do
        nginx_port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$nginx_port") 2>/dev/null || break
    done
    cat >"$work/nginx.conf" <<EOF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f;
  uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server { listen 127.0.0.1:$nginx_port backlog=4096; location / { return 200 "ok\n"; } } }
EOF
    nginx -p "$work" -c "$work/nginx.conf" 2>"$work/nginx.log" &
    pids+=("$!")
    url[nginx]=http://127.0.0.1:$nginx_port/
}
start_gateway() {
    "$bin/loadtest" stack up --strategy "$strategy" --replicas 2 --ready-file "$work/ready.json" >"$work/stack.log" 2>&1 &
    local stack=$!
    pids+=("$stack")
    for _ in $(seq 300); do
        [ -s "$work/ready.json" ] && break
        kill -0 "$stack" 2>/dev/null || { cat "$work/stack.log" >&2; exit 1; }
        sleep 0.1
    done
    gateway=$(jq -er .gateway "$work/ready.json")
    user="bench-$$-$(date +%s)"
    credential=token
    if [ "$strategy" = session ]; then credential=session; fi
    password="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    post() { curl -sS --fail-with-body -H 'content-type: application/json' -d "$2" "$gateway/auth/$1"; }
    post register "{\"username\":\"$user\",\"password\":\"$password\"}" >/dev/null
    url[gateway]=$gateway/$strategy/me
    # Tokens are short-lived: each target's runs begin with a new one.
    log_in() { token=$(post login "{\"username\":\"$user\",\"password\":\"$password\",\"credential\":\"$credential\"}" | jq -er '.access_token // .session_id'); }
}

# Established connections to the port of a URL, seen from the client.
established() {
    local port=${1##*127.0.0.1:}
    awk -v port=":$(printf '%04X' "${port%%/*}")" '$4 == "01" && $3 ~ port "$"' /proc/net/tcp | wc -l
}

# Runs a command; sets cpu_us (user and system time of it) and seen (connections in its middle).
measured() { # url, command...
    local target=$1
    shift
    (sleep "$(awk -v s="$seconds" 'BEGIN { print s / 2 }')"; established "$target") >"$work/seen" &
    local counting=$!
    TIMEFORMAT='%U %S'
    { time "$@" >"$work/out" 2>"$work/err"; } 2>"$work/time" || { cat "$work/out" "$work/err" >&2; fail 1 "$1 failed"; }
    wait "$counting"
    cpu_us=$(awk '{ printf "%d", ($1 + $2) * 1e6 }' "$work/time")
    seen=$(cat "$work/seen")
}

# One run; prints: requests, CPU µs/request, p50 µs, p99 µs, connections, achieved/s
open_loop() { # peer, target, rate
    local target=${url[$2]} header="Authorization: Bearer $token"
    case $1 in
        loadtest)
            # Exit codes 3 and 4 are results here: the row shows what they say.
            measured "$target" sh -c '"$@"; code=$?; case $code in 3|4) exit 0 ;; *) exit $code ;; esac' sh \
                "$bin/loadtest" run --url "$target" --rate "$3" --arrivals uniform --connections "$connections" \
                --duration "${seconds}s" --warmup 0s --header "$header" --out "$work/ours.json"
            jq -r --argjson cpu "$cpu_us" --arg seen "$seen" '[.requests, $cpu / .requests, .response_time.p50_us,
                .response_time.p99_us, $seen, .achieved_per_second] | join(" ")' "$work/ours.json"
            ;;
        oha)
            measured "$target" "$oha" --no-tui -c "$connections" -q "$3" -z "${seconds}s" --latency-correction \
                --output-format json -H "$header" "$target"
            jq -r --argjson cpu "$cpu_us" --arg seen "$seen" --argjson s "$seconds" '([.statusCodeDistribution[]] | add) as $n
                | [$n, $cpu / $n, .latencyPercentiles.p50 * 1e6, .latencyPercentiles.p99 * 1e6, $seen, $n / $s] | join(" ")' "$work/out"
            ;;
        wrk2)
            measured "$target" "$wrk2" -t1 -c"$connections" -d"${seconds}s" -R"$3" --latency -H "$header" "$target"
            awk -v cpu="$cpu_us" -v seen="$seen" 'function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1e3 : t ~ /m$/ ? t * 6e7 : t * 1e6 }
                $1 == "50.000%" { p50 = us($2) } $1 == "99.000%" { p99 = us($2) } / requests in / { n = $1 }
                /^Requests\/sec/ { achieved = $2 } END { print n, cpu / n, p50, p99, seen, achieved }' "$work/out"
            ;;
    esac
}

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
column() { awk -v n="$1" '{ print $n }' "$2" | median; }
# The peers in an order that turns with each round, so that a drift of the machine meets all alike.
in_turn() { # round, peers...
    local shift_by=$(($1 % ($# - 1)))
    shift
    echo "${@:shift_by+1}" "${@:1:shift_by}"
}

echo "$(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) CPUs, Linux $(uname -r)"
echo "$("$bin/loadtest" --version); wrk $(wrk -v 2>&1 | awk 'NR == 1 { print $2 }'); $(nginx -v 2>&1)"
if [ -x "$oha" ]; then "$oha" --version; fi
if [ -n "$wrk2" ]; then echo "wrk2: $wrk2 -t1, $("$wrk2" -v 2>&1 | head -n 1)"; fi
echo "$connections connections, $rounds rounds of $seconds s, equal gaps, medians of the rounds"
worst=0
for target in $targets; do
    "start_$target"
    sleep 0.5
    echo
    printf '%-8s %8s %-10s %12s %10s %10s %12s %12s\n' target rate generator 'CPU µs/req' 'p50 µs' 'p99 µs' connections 'achieved/s'
    for rate in $rates; do
        for ((round = 0; round < rounds; round++)); do
            # shellcheck disable=SC2046
            for peer in $(in_turn "$round" "${peers[@]}"); do
                if [ "$target" = gateway ]; then log_in; fi
                open_loop "$peer" "$target" "$rate" >>"$work/$target-$rate-$peer"
            done
        done
        for peer in "${peers[@]}"; do
            rows=$work/$target-$rate-$peer
            printf '%-8s %8s %-10s %12.1f %10.0f %10.0f %12.0f %12.0f\n' "$target" "$rate" "$peer" "$(column 2 "$rows")" \
                "$(column 3 "$rows")" "$(column 4 "$rows")" "$(column 5 "$rows")" "$(column 6 "$rows")"
        done
    done
    for ((round = 0; round < rounds; round++)); do
        for peer in $(in_turn "$round" loadtest wrk); do
            if [ "$target" = gateway ]; then log_in; fi
            if [ "$peer" = wrk ]; then
                measured "${url[$target]}" wrk -t1 -c"$connections" -d"${seconds}s" -H "Authorization: Bearer $token" "${url[$target]}"
                if grep -q -e 'Non-2xx' -e 'Socket errors' "$work/out"; then cat "$work/out" >&2; exit 1; fi
                awk '/Requests\/sec/ { print $2 }' "$work/out" >>"$work/$target-closed-wrk"
            else
                measured "${url[$target]}" "$bin/loadtest" run --url "${url[$target]}" --connections "$connections" --duration "${seconds}s" \
                    --warmup 0s --header "Authorization: Bearer $token" --max-error-ratio 0 --out "$work/ours.json"
                jq .achieved_per_second "$work/ours.json" >>"$work/$target-closed-loadtest"
            fi
        done
    done
    ours=$(median <"$work/$target-closed-loadtest")
    theirs=$(median <"$work/$target-closed-wrk")
    awk -v t="$target" -v o="$ours" -v w="$theirs" 'BEGIN {
        printf "%-8s closed loop: loadtest %.0f/s, wrk %.0f/s, ratio %.3f\n", t, o, w, o / w }'
    worst=$(awk -v o="$ours" -v w="$theirs" -v worst="$worst" 'BEGIN {
        d = (o / w - 1) * 100; if (d < 0) d = -d; print (d > worst) ? d : worst }')
done
if [ -n "$limit" ]; then
    awk -v worst="$worst" -v limit="$limit" 'BEGIN { exit (worst <= limit) ? 0 : 1 }' \
        || fail 1 "loadtest and wrk differ by more than $limit % in a closed loop; on a busy machine, wrk differs from itself by more"
fi
