#!/usr/bin/env bash
# Runs docker-compose.yml as it is under a project name of its own: reads the front page and the metrics, logs in both
# ways, asks both strategies, scales both pools up and down under load, looks at how the containers run, asks each
# strategy of the profile `all` with secrets made for this run, puts two auth-services on one PostgreSQL, and replaces
# every container under load.
# Leaves nothing behind but docker's build cache.
#
#   STATEWISE_TEST_PORT    where the gateway is published meanwhile, default 18080; the four ports after it are used too
#   STATEWISE_BIN_DIR      has our programs, for the Debian of the images: they go into the images as they are, which
#                          saves compiling them once more. Without it the images compile them, as a user's do
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PROJECT=statewise-test-$$
export STATEWISE_PORT=${STATEWISE_TEST_PORT:-18080}
export STATEWISE_JAEGER_PORT=$((STATEWISE_PORT + 2)) STATEWISE_ADMIN_PORT=$((STATEWISE_PORT + 3))
export STATEWISE_PROMETHEUS_PORT=$((STATEWISE_PORT + 4))
# What the load test writes is to belong to whoever runs this.
STATEWISE_USER=$(id -u):$(id -g)
export STATEWISE_USER
readonly GATEWAY=http://127.0.0.1:$STATEWISE_PORT
readonly PROMETHEUS=http://127.0.0.1:$STATEWISE_PROMETHEUS_PORT
readonly STRATEGIES="jwt session"
readonly MORE_STRATEGIES="session-cached jwt-revocable introspection phantom"
# For each strategy, so many connections that each ask so many times a second.
readonly CONNECTIONS=4 RATE=40

fail() {
    echo "compose-test: $*" >&2
    exit 1
}

for tool in docker curl jq python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing: scripts/install.sh $tool"
done
if docker compose version >/dev/null 2>&1; then
    compose_command=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose_command=(docker-compose)
else
    fail "neither docker compose nor docker-compose is here: scripts/install.sh docker-compose"
fi
docker info >/dev/null 2>&1 || fail "the docker daemon does not answer: is it running, and may $(id -un) use it?"

# Further ones come later.
files=(--file docker-compose.yml)

compose() {
    "${compose_command[@]}" "${files[@]}" --project-name "$PROJECT" --env-file "$work/env" "$@"
}

work=$(mktemp -d)
load_pids=()
passed=0
failed=0

stop_load() {
    [ ${#load_pids[@]} -gt 0 ] || return 0
    kill "${load_pids[@]}" 2>/dev/null || true
    wait "${load_pids[@]}" 2>/dev/null || true
    load_pids=()
}

clean_up() {
    local code=$?
    stop_load
    if [ "$code" -ne 0 ]; then
        compose ps || true
        compose logs --no-color --tail=20 || true
    fi
    compose --profile loadtest --profile metrics --profile all down --volumes --remove-orphans --rmi local >"$work/down.log" 2>&1 || cat "$work/down.log"
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check WHAT COMMAND...: counts whether the command succeeds.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
    fi
}

# refuses COMMAND...: whether the command fails.
refuses() {
    ! "$@" >/dev/null 2>&1
}

# within SECONDS COMMAND...: whether the command succeeds before the time is over.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# timed WHAT COMMAND...
timed() {
    local what=$1 started=$SECONDS
    shift
    "$@" >"$work/timed.log" 2>&1 || {
        tail -n 40 "$work/timed.log" >&2
        fail "$what failed, its last lines are above"
    }
    echo "      $what: $((SECONDS - started)) s"
}

# post PATH JSON: the answer's body, or the end of the test.
post() {
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$GATEWAY$1"
}

# answers STATUS PATH [CURL ARGUMENT]...
answers() {
    local expected=$1 path=$2 status
    shift 2
    status=$(curl --silent --output "$work/body" --write-out '%{http_code}' "$@" "$GATEWAY$path") || true
    [ "$status" = "$expected" ] || {
        echo "      $path answered $status: $(cat "$work/body")"
        return 1
    }
}

# containers SERVICE...: their ids; of all services without an argument.
containers() {
    compose ps --quiet "$@"
}

health_of() {
    docker inspect --format '{{.State.Health.Status}}' "$(containers "$1")"
}

is_healthy() {
    [ "$(health_of "$1")" = healthy ]
}

# Each connection asks the same thing on and on and writes a line for each answer: body, status, curl's code.
start_load() {
    local strategy connection
    for strategy in $STRATEGIES; do
        for ((connection = 1; connection <= CONNECTIONS; connection++)); do
            curl --silent --no-buffer --rate "$RATE/s" --max-time 10 \
                --header "Authorization: Bearer ${credential[$strategy]}" \
                --write-out ' %{http_code} %{exitcode}\n' "$GATEWAY/$strategy/me?n=[1-1000000]" \
                >"$work/$strategy.$connection.log" &
            load_pids+=($!)
        done
    done
}

lines_of() {
    cat "$work/$1".*.log | wc -l
}

has_lines() {
    [ "$(lines_of "$1")" -ge "$2" ]
}

# replicas_in STRATEGY: the names of the replicas that have answered, one a line.
replicas_in() {
    cat "$work/$1".*.log | grep -o '"replica":"[^"]*"' | sort -u
}

have_answered() {
    [ "$(replicas_in "$1" | wc -l)" -eq "$2" ]
}

# are_scraped JOB NUMBER: whether Prometheus found so many replicas by their name, and all of them answered it.
are_scraped() {
    local found
    found=$(curl --silent --fail --get --data-urlencode "query=count(up{job=\"$1\"} == 1)" "$PROMETHEUS/api/v1/query") || return 1
    [ "$(jq -r '.data.result[0].value[1] // 0' <<<"$found")" = "$2" ]
}

# scale NUMBER: both pools.
scale() {
    compose up --detach --no-recreate --no-deps --scale "api-jwt=$1" --scale "api-session=$1" api-jwt api-session
}

all_answers_are_200() {
    local wrong
    wrong=$(cat "$work/$1".*.log | awk 'NF >= 2 && ($(NF - 1) != 200 || $NF != 0)')
    [ -z "$wrong" ] || {
        echo "      $(wc -l <<<"$wrong") of $(lines_of "$1") failed, the first: $(head -n 1 <<<"$wrong")"
        return 1
    }
}

# load_test_finds_no_error STRATEGY: from its own image and inside the network, with users of its own.
load_test_finds_no_error() {
    local code=0
    mkdir -p "$work/results"
    compose run --rm --no-deps -T --volume "$work/results:/results" loadtest \
        run --url "http://gateway:8080/$1/me" --login "$1" --rate 100 --duration 3s --out "/results/$1.json" \
        >"$work/run.log" 2>&1 </dev/null || code=$?
    # 3 and 4: this machine is too busy for the latencies or the rate to count, which are not what is looked at here.
    if [ "$code" -ne 0 ] && [ "$code" -ne 3 ] && [ "$code" -ne 4 ]; then
        tail -n 20 "$work/run.log"
        return 1
    fi
    jq -e '.requests > 0 and .errors == [] and (.answers | map(.status) == [200])' "$work/results/$1.json" >/dev/null || {
        jq -c '{requests, answers, errors}' "$work/results/$1.json"
        return 1
    }
}

# Of this system as it runs, with its administrator: what was revoked is not accepted any more, by any replica.
revocations_are_seen_at_once() {
    compose run --rm --no-deps -T --volume "$work/results:/results" loadtest freshness --quick --strategy session \
        --revocations 8 --gateway http://gateway:8080 --gateway-admin http://gateway:9901 --out /results/freshness.json \
        >"$work/run.log" 2>&1 </dev/null || true
    jq -e '.replicas == 3 and (.lags | map(.kind) == ["logout", "ban", "role_change"]) and
        all(.lags[]; .revocations > 0 and .accepted_after == 0)' "$work/results/freshness.json" >/dev/null || {
        tail -n 20 "$work/run.log"
        return 1
    }
}

# Each fault once, and that nothing of it lasts.
faults_are_made_and_undone() {
    env RATE=30 LASTS=2 OUT="$work/faults" scripts/compose-faults.sh "${files[@]}" --project-name "$PROJECT" --env-file "$work/env" \
        >"$work/faults.log" 2>&1 || {
        cat "$work/faults.log"
        return 1
    }
    sed 's/^/      /' "$work/faults.log"
    # What needs Redis has no answer without it, and what does not has.
    jq -e 'def good(f; s): .cells[] | select(.fault == f and .strategy == s) | .good / .requests;
        good("redis_killed"; "jwt") > 0.95 and good("redis_killed"; "session") < 0.1 and
        good("auth_killed"; "session") > 0.95 and good("auth_killed"; "introspection") < 0.1' "$work/faults/faults.json" >/dev/null
}

runs_as_number_above_zero() {
    docker top "$1" -eo pid,uid | tail -n +2 | awk '$2 == 0 || $2 == "root" { bad = 1 } END { exit bad }'
}

networks_of() {
    docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' "$1"
}

# What is published is the gateway, what it has for operators, and Jaeger's page.
only_that_is_published() {
    local ports wanted
    ports=$(docker ps --filter "label=com.docker.compose.project=$PROJECT" --format '{{.Ports}}' | tr ',' '\n' | grep -o '[^ ]*->.*' | sort)
    wanted=$(printf '127.0.0.1:%s\n' "$STATEWISE_PORT->8080/tcp" "$STATEWISE_JAEGER_PORT->16686/tcp" "$STATEWISE_ADMIN_PORT->9901/tcp" | sort)
    [ "$ports" = "$wanted" ] || {
        echo "      published: $ports"
        return 1
    }
}

# The last to start says where everything is.
the_log_has_the_addresses() {
    compose logs --no-color gateway >"$work/gateway.log" 2>&1
    grep -q "gateway $GATEWAY .*Jaeger http://127.0.0.1:$STATEWISE_JAEGER_PORT" "$work/gateway.log"
}

# page_has ACCEPT TEXT...: whether the front page in this form has all of them.
page_has() {
    local accept=$1 text
    shift
    curl --silent --fail --header "Accept: $accept" --output "$work/page" "$GATEWAY/" || return 1
    for text in "$@"; do
        grep -qF -- "$text" "$work/page" || {
            echo "      $text is not on the front page"
            return 1
        }
    done
}

metrics_are_there() {
    curl --silent --fail --output "$work/metrics" "http://127.0.0.1:$STATEWISE_ADMIN_PORT/metrics" &&
        grep -q '^gateway_pool_members' "$work/metrics"
}

# Whether the programs of STATEWISE_BIN_DIR run in the images: built for the same Debian.
are_for_the_images() {
    [ -n "${STATEWISE_BIN_DIR:-}" ] && grep -qs '^VERSION_CODENAME=bookworm$' /etc/os-release && command -v strip >/dev/null
}

# Has every image take these programs in place of the first stage of the Dockerfile; all its other stages stay.
use_programs() {
    local context=$work/context service
    scripts/image-context.sh "$STATEWISE_BIN_DIR" "$context"
    {
        echo "services:"
        awk '/^services:/ { inside = 1 } /^[a-z]/ && !/^services:/ { inside = 0 }
            inside && /^  [a-z-]+:/ { name = $1 } inside && /^    build:/ { print name }' docker-compose.yml |
            while read -r service; do printf '  %s\n    build:\n      context: %s\n' "$service" "$context"; done
        # Built as the gateway is, of which it is made.
        printf '  gateway-loadtest:\n    build:\n      context: %s\n' "$context"
    } >"$work/programs.yml"
    files+=(--file "$work/programs.yml")
}

# memory WHAT: what all containers take together now, and each service; in the file `memory` the MiB of all.
memory() {
    local ids
    mapfile -t ids < <(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT")
    docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' "${ids[@]}" |
        awk -v what="$1" -v project="$PROJECT" -v sum="$work/memory" '
            BEGIN { mib["B"] = 1 / 1048576; mib["KiB"] = 1 / 1024; mib["MiB"] = 1; mib["GiB"] = 1024 }
            {
                name = $1; sub("^" project "[-_]", "", name); sub("[-_][0-9]+$", "", name)
                unit = $2; sub("^[0-9.]+", "", unit)
                used[name] += $2 * mib[unit]; count[name]++; all += $2 * mib[unit]
            }
            END {
                line = sprintf("      memory %s: %.0f MiB", what, all)
                for (name in used) line = line sprintf(", %d x %s %.1f", count[name], name, used[name] / count[name])
                print line
                printf "%.0f", all > sum
            }'
}

takes_less_than_a_gigabyte() {
    [ "$(cat "$work/memory")" -lt 954 ]
}

redis_is_apart() {
    local id
    [ "$(networks_of "$(containers redis)")" = "${PROJECT}_state " ] || return 1
    for id in $(containers api-jwt) $(containers api-phantom) $(containers gateway); do
        [[ $(networks_of "$id") != *_state* ]] || return 1
    done
}

# Each of them is answered by one auth-service or the other.
all_log_in() {
    local attempt
    for ((attempt = 1; attempt <= 8; attempt++)); do
        login token >/dev/null || return 1
    done
}

scripts/secrets.sh --postgres "$work/both" >/dev/null
check "the secrets of a PostgreSQL are written when asked for" grep -q '^COMPOSE_FILE=.*postgres' "$work/both"
scripts/secrets.sh "$work/env" >/dev/null
check "the secrets are for their owner only" test "$(stat -c %a "$work/env")" = 600
check "secrets that are there are not overwritten" refuses scripts/secrets.sh "$work/env"

# Whoever cannot make the base images (that takes root and debootstrap) lets docker fetch them.
if [ "$(id -u)" -eq 0 ] && command -v debootstrap >/dev/null; then
    scripts/make-base-images.sh
fi

if are_for_the_images; then
    echo "      the images have the programs of $STATEWISE_BIN_DIR"
    use_programs
fi
# What is looked at is the same without what makes the programs fast, and takes a fraction of the time.
timed "build" compose --profile loadtest --profile all build --build-arg CARGO_PROFILE_RELEASE_LTO=off \
    --build-arg CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 --build-arg CARGO_PROFILE_RELEASE_OPT_LEVEL=1
timed "up" compose --profile all up --detach
within 60 is_healthy gateway || fail "the gateway is not healthy after 60 s"
docker images --filter "reference=$PROJECT*" --format '{{.Repository}} {{.Size}}' | sed "s/^/      /"

memory "idle, without metrics"
check "it takes less than 1 GB of memory" takes_less_than_a_gigabyte

name=tester-$$
password=$(head -c 18 /dev/urandom | base64)
login() {
    post /auth/login "$(jq -nc --arg name "$name" --arg password "$password" --arg kind "$1" \
        '{username: $name, password: $password, credential: $kind}')"
}
post /auth/register "$(jq -nc --arg name "$name" --arg password "$password" '{username: $name, password: $password}')" >/dev/null
declare -A credential
credential[jwt]=$(login token | jq -er .access_token)
credential[session]=$(login session | jq -er .session_id)
for strategy in $STRATEGIES; do
    check "/$strategy/me knows its caller" answers 200 "/$strategy/me" --header "Authorization: Bearer ${credential[$strategy]}"
    check "/$strategy/me without a credential is refused" answers 401 "/$strategy/me"
done

start_load
for strategy in $STRATEGIES; do
    check "3 replicas of api-$strategy answer" within 60 have_answered "$strategy" 3
done
memory "under load, without metrics"
check "it takes less than 1 GB of memory under load" takes_less_than_a_gigabyte
timed "prometheus" compose --profile metrics up --detach --no-deps prometheus
timed "scale to 5" scale 5
for strategy in $STRATEGIES; do
    check "5 replicas of api-$strategy answer after scaling up" within 60 have_answered "$strategy" 5
done
# It looks for replicas every 5 s, and asks each every 15 s.
for job in gateway=1 auth-service=1 api-jwt=5 api-session=5 api-session-cached=2 api-phantom=2; do
    check "prometheus scrapes ${job#*=} of ${job%=*}" within 60 are_scraped "${job%=*}" "${job#*=}"
done
timed "scale back to 3" scale 3
for strategy in $STRATEGIES; do
    check "3 replicas of api-$strategy are left" test "$(containers "api-$strategy" | wc -l)" -eq 3
    check "they go on answering" within 60 has_lines "$strategy" $(($(lines_of "$strategy") + 200))
done
memory "under load, with metrics"
stop_load
memory "idle, with metrics"
compose --profile metrics rm --stop --force prometheus >/dev/null 2>&1
for strategy in $STRATEGIES; do
    check "all of $(lines_of "$strategy") requests to /$strategy/me under load were answered with 200" all_answers_are_200 "$strategy"
done

for strategy in $STRATEGIES; do
    check "the load test's own image drives /$strategy/me without an error" load_test_finds_no_error "$strategy"
done

check "it finds every kind of revocation of a session seen at once by all 3 replicas" revocations_are_seen_at_once

credential[jwt-revocable]=${credential[jwt]}
for strategy in $MORE_STRATEGIES; do
    bearer="Authorization: Bearer ${credential[$strategy]:-${credential[session]}}"
    check "/$strategy/me knows its caller" within 60 answers 200 "/$strategy/me" --header "$bearer"
    check "/$strategy/me without a credential is refused" answers 401 "/$strategy/me"
done

for id in $(containers); do
    check "$(docker inspect --format '{{.Name}}' "$id" | tr -d /) does not run as root" runs_as_number_above_zero "$id"
done
check "only the gateway, its metrics and Jaeger are published, on the loopback" only_that_is_published
check "one line of the log has the addresses" the_log_has_the_addresses
# shellcheck disable=SC2016 # shown as it is
check "the front page has a line to copy for each strategy" page_has '*/*' "G='$GATEWAY'" '$G/jwt/me' '$G/session/me' '$G/phantom/me'
check "a browser gets it as HTML" page_has text/html '<!DOCTYPE html>' "http://127.0.0.1:$STATEWISE_JAEGER_PORT"
check "the gateway's metrics are there" metrics_are_there
check "the page that logs in by a code is there" answers 200 /auth/page
check "faults are made on the running system, told of each strategy, and undone" faults_are_made_and_undone
check "redis is reached by nobody who does not need it" redis_is_apart

grep '^POSTGRES_PASSWORD=' "$work/both" >>"$work/env"
files+=(--file docker-compose.postgres.yml)
timed "two auth-services on PostgreSQL" compose up --detach --scale auth-service=2 auth-service
check "2 auth-services are there" test "$(containers auth-service | wc -l)" -eq 2
registered() {
    answers 201 /auth/register --header 'Content-Type: application/json' \
        --data "$(jq -nc --arg name "$name" --arg password "$password" '{username: $name, password: $password}')"
}
check "a user registers at one of them" within 60 registered
check "and logs in at both" within 60 all_log_in
for id in $(containers postgres) $(containers auth-service); do
    check "$(docker inspect --format '{{.Name}}' "$id" | tr -d /) does not run as root" runs_as_number_above_zero "$id"
done

# A second gateway, for those who find the first one closed.
second=127.0.0.1:$((STATEWISE_PORT + 1))
compose run --detach --no-deps --publish "$second:8080" gateway >/dev/null
check "a second gateway is ready" within 60 curl --silent --fail --output /dev/null "http://$second/auth/.well-known/jwks.json"
check "no request fails while every container is replaced under load" \
    python3 scripts/roll.py --compose "$PROJECT" "$GATEWAY" "http://$second" 1

echo "compose-test: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
