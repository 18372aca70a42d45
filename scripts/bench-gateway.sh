#!/usr/bin/env bash
# Compares the gateway with nginx and HAProxy: CPU time per request, and p99 at a fixed number of
# connections. Everything runs on 127.0.0.1, on free ports, from a temporary directory.
#
# Each proxy has one worker or thread and does the same job: takes a prefix off the path, adds
# X-Forwarded-For/-Proto/-Host and Forwarded, balances over two upstreams on kept connections, and
# writes no access log. The gateway also keeps its metrics and health checks, as it always does.
#
# wrk is a closed loop: a connection sends its next request when it has the last answer. CPU per
# request does not depend on that; the p99 is that of a saturated proxy and compares proxies only.
#
# usage: scripts/bench-gateway.sh
#   GATEWAY=path      the release binary          (default: built by cargo)
#   ROUNDS=5          rounds, in rotated order
#   SECONDS_EACH=4    length of one run
#   CONNECTIONS=32    connections of wrk
#   LIMIT=            fail when gateway/nginx CPU per request is above this, such as 1.10
set -euo pipefail

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-4}
connections=${CONNECTIONS:-32}
limit=${LIMIT:-}
here=$(cd "$(dirname "$0")/.." && pwd)

missing=()
for program in nginx haproxy wrk curl awk; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
    echo "bench-gateway: missing: ${missing[*]}; on Debian: apt-get install ${missing[*]}" >&2
    exit 69
fi

if [[ -z ${GATEWAY:-} ]]; then
    (cd "$here" && cargo build --quiet --release -p gateway)
    GATEWAY=${CARGO_TARGET_DIR:-$here/target}/release/gateway
fi
if [[ ! -x $GATEWAY ]]; then
    echo "bench-gateway: $GATEWAY is not a program" >&2
    exit 66
fi

dir=$(mktemp -d)
declare -A pid port
finish() {
    local name
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A port on which nobody answers and that was not given out before.
taken=" "
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 12000))
        [[ $taken == *" $candidate "* ]] && continue
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
            taken+="$candidate "
            free=$candidate
            return
        fi
    done
}
for name in one two nginx haproxy gateway; do
    free_port
    port[$name]=$free
done

nginx_common="daemon off; worker_processes 1; error_log stderr error;
events { worker_connections 4096; }"
http_common="access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f;
uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;"

cat >"$dir/upstream.conf" <<EOF
$nginx_common
pid $dir/upstream.pid;
http { $http_common
  server { listen 127.0.0.1:${port[one]} backlog=4096; listen 127.0.0.1:${port[two]} backlog=4096;
    default_type application/json;
    location / { return 200 '{"subject":"0b9df1d5","roles":["user"],"replica":"one"}'; } } }
EOF
cat >"$dir/nginx.conf" <<EOF
$nginx_common
pid $dir/nginx.pid;
http { $http_common
  upstream members { server 127.0.0.1:${port[one]}; server 127.0.0.1:${port[two]};
    keepalive 64; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${port[nginx]} backlog=4096;
    location /api/ { proxy_pass http://members/; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host \$http_host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto http;
      proxy_set_header X-Forwarded-Host \$http_host;
      proxy_set_header Forwarded "for=\$remote_addr;host=\"\$http_host\";proto=http"; } } }
EOF
cat >"$dir/haproxy.cfg" <<EOF
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option forwardfor
frontend front
  bind 127.0.0.1:${port[haproxy]} backlog 4096
  http-request replace-path /api/(.*) /\1
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header Forwarded for=%[src];host=\"%[req.hdr(host)]\";proto=http
  default_backend members
backend members
  balance random(2)
  http-reuse always
  server one 127.0.0.1:${port[one]} pool-max-conn 64
  server two 127.0.0.1:${port[two]} pool-max-conn 64
EOF

nginx -p "$dir" -c "$dir/upstream.conf" 2>"$dir/upstream.log" & pid[upstream]=$!
nginx -p "$dir" -c "$dir/nginx.conf" 2>"$dir/nginx.log" & pid[nginx]=$!
haproxy -q -f "$dir/haproxy.cfg" 2>"$dir/haproxy.log" & pid[haproxy]=$!
env -i GATEWAY_LISTEN="127.0.0.1:${port[gateway]}" GATEWAY_THREADS=1 \
    GATEWAY_ROUTES=/api=members RUST_LOG=warn \
    GATEWAY_POOLS="members=127.0.0.1:${port[one]},127.0.0.1:${port[two]}" \
    "$GATEWAY" 2>"$dir/gateway.log" & pid[gateway]=$!

for name in nginx haproxy gateway; do
    url=http://127.0.0.1:${port[$name]}/api/me
    for ((attempt = 0; ; attempt++)); do
        curl -sf -o /dev/null "$url" && break
        if ((attempt == 100)); then
            echo "bench-gateway: $name does not answer at $url:" >&2
            cat "$dir/$name.log" >&2
            exit 1
        fi
        sleep 0.05
    done
done

# CPU time of a process, its children and all their threads, in nanoseconds: the scheduler's own
# count, because the ticks of /proc/PID/stat are 10 ms.
cpu_ns() {
    local processes=("$1") child files=()
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do processes+=("$child"); done
    for child in "${processes[@]}"; do files+=(/proc/"$child"/task/*/schedstat); done
    awk '{ total += $1 } END { printf "%.0f", total }' "${files[@]}"
}

# Appends "name cpu_us_per_request p99_us requests_per_second" to the results.
measure() {
    local name=$1 before after out=$dir/wrk.out
    before=$(cpu_ns "${pid[$name]}")
    wrk -t1 -c"$connections" -d"${seconds}s" --latency \
        "http://127.0.0.1:${port[$name]}/api/me" >"$out"
    after=$(cpu_ns "${pid[$name]}")
    if grep -qE 'Non-2xx|Socket errors' "$out"; then
        echo "bench-gateway: $name did not answer everything with 200:" >&2
        cat "$out" >&2
        exit 1
    fi
    awk -v name="$name" -v cpu=$((after - before)) '
        function us(text) { n = text + 0; return text ~ /us$/ ? n : text ~ /ms$/ ? n * 1e3 : n * 1e6 }
        $1 == "99%" { p99 = us($2) }
        $2 == "requests" && $3 == "in" { requests = $1 }
        $1 == "Requests/sec:" { rate = $2 }
        END { printf "%s %.3f %.0f %.0f\n", name, cpu / requests / 1e3, p99, rate }' "$out" |
        tee -a "$dir/results" >&2
}

proxies=(nginx haproxy gateway)
for name in "${proxies[@]}"; do # warm up: connections, caches, branch predictors
    wrk -t1 -c"$connections" -d1s "http://127.0.0.1:${port[$name]}/api/me" >/dev/null
done
for ((round = 0; round < rounds; round++)); do
    echo "round $((round + 1)) of $rounds (proxy, µs CPU per request, p99 µs, requests/s)" >&2
    for ((turn = 0; turn < ${#proxies[@]}; turn++)); do
        measure "${proxies[(round + turn) % ${#proxies[@]}]}"
    done
done

median() { # of column $2 for proxy $1
    awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$dir/results" | sort -n |
        awk '{ value[NR] = $1 } END {
            print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}
echo
echo "nginx $(nginx -v 2>&1 | sed 's/.*nginx.//'), HAProxy $(haproxy -v | awk 'NR == 1 { print $3 }'), $("$GATEWAY" --version)"
echo "one worker each, two upstreams, $connections connections, median of $rounds rounds of ${seconds} s in rotated order; wrk is a closed loop"
printf '%-8s %16s %8s %8s %8s %12s\n' proxy 'CPU µs/request' ratio 'p99 µs' ratio requests/s
base_cpu=$(median nginx 2)
base_p99=$(median nginx 3)
for name in "${proxies[@]}"; do
    awk -v name="$name" -v cpu="$(median "$name" 2)" -v p99="$(median "$name" 3)" \
        -v rate="$(median "$name" 4)" -v base_cpu="$base_cpu" -v base_p99="$base_p99" 'BEGIN {
        printf "%-8s %15.2f %8.2f %8.0f %8.2f %12.0f\n", name, cpu, cpu / base_cpu, p99, p99 / base_p99, rate }'
done
if [[ -n $limit ]]; then
    awk -v ratio="$(awk -v a="$(median gateway 2)" -v b="$base_cpu" 'BEGIN { print a / b }')" \
        -v limit="$limit" 'BEGIN { if (ratio > limit) { print "gateway/nginx is above " limit; exit 1 } }'
fi
