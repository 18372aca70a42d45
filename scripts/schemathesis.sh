#!/usr/bin/env bash
# Holds the services to their OpenAPI documents: schemathesis sends what the documents allow and what
# they do not, to a stack of real processes on loopback. Bounded by examples and by time.
#   EXAMPLES=50    cases for each operation and phase
#   SECONDS_EACH=40  limit of each run
#   STATEWISE_BIN_DIR  has our programs; without it they are built
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
target=$(realpath "${CARGO_TARGET_DIR:-target}")
config=$PWD/scripts/schemathesis.toml
venv=$target/schemathesis-$version
folder=$(mktemp -d)
stack=

finish() {
    if [ -n "$stack" ]; then kill -TERM "$stack" 2>/dev/null && wait "$stack" || true; fi
    rm -rf "$folder"
}
trap finish EXIT

command -v jq >/dev/null || { echo "jq is missing: scripts/install.sh jq" >&2; exit 1; }
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv" || { echo "python3 with venv is missing: apt-get install python3-venv" >&2; exit 1; }
    "$venv/bin/pip" install --quiet "schemathesis==$version"
fi
if [ -z "${STATEWISE_BIN_DIR:-}" ]; then
    cargo build --quiet --locked --workspace --bins
    STATEWISE_BIN_DIR=$target/debug
fi

# Limits of guessing are for attackers, which this is; they have tests of their own. Hashes cost
# little, so that the time goes into cases.
export AUTH_ADMIN_USERNAME=root AUTH_ADMIN_PASSWORD="correct horse battery staple"
export AUTH_LOGIN_LIMIT_ACCOUNT_AT_ADDRESS=1000000/1s AUTH_LOGIN_LIMIT_ADDRESS=1000000/1s \
    AUTH_LOGIN_LIMIT_ACCOUNT=1000000/1s
export AUTH_ARGON2_MEMORY_KIB=64 AUTH_ARGON2_ITERATIONS=1
"$STATEWISE_BIN_DIR/loadtest" stack up --strategy jwt --strategy session --replicas 1 \
    --ready-file "$folder/ready.json" >"$folder/stack.log" 2>&1 &
stack=$!
for _ in $(seq 300); do
    [ -s "$folder/ready.json" ] && break
    kill -0 "$stack" 2>/dev/null || { cat "$folder/stack.log" >&2; exit 1; }
    sleep 0.1
done
auth=$(jq -r .auth "$folder/ready.json")
jwt=$(jq -r '.pools.jwt[0]' "$folder/ready.json")
session=$(jq -r '.pools.session[0]' "$folder/ready.json")
gateway=$(jq -r .gateway_admin "$folder/ready.json")

# The answer's member for a login of the administrator.
log_in() {
    curl --silent --fail "$auth/login" -H 'content-type: application/json' \
        -d "{\"username\":\"root\",\"password\":\"$AUTH_ADMIN_PASSWORD\",\"credential\":\"$1\"}" | jq -r ".$2"
}

# hold NAME URL TOKEN OPTION...
failed=0
hold() {
    local name=$1 url=$2
    export STATEWISE_BEARER=$3
    shift 3
    echo "=== schemathesis: $name"
    # In the folder that is removed at the end: it keeps what failed, for the next run.
    (cd "$folder" && "$venv/bin/schemathesis" --config-file "$config" run "$url/openapi.json" --url "$url" \
        --max-examples "${EXAMPLES:-50}" --max-time "${SECONDS_EACH:-40}" --seed 1 --workers 2 \
        --request-timeout 10 --continue-on-failure --no-color "$@") || failed=1
}

client() { jq -r ".clients[] | select(.id == \"$1\") | .secret" "$folder/ready.json"; }
export STATEWISE_CLIENT=statewise-loadtest STATEWISE_CLIENT_SECRET
STATEWISE_CLIENT_SECRET=$(client statewise-loadtest)
export STATEWISE_SESSION
STATEWISE_SESSION=$(log_in session session_id)

token=$(log_in token access_token)
# A state of this login, so that bodies are what is tested.
export STATEWISE_STATE
STATEWISE_STATE=$(curl --silent --fail --output /dev/null --dump-header - "$jwt/cart" -X PUT \
    -H "authorization: Bearer $token" -H 'if-match: "0"' -H 'content-type: application/json' \
    -d '{"items":[]}' | tr -d '\r' | sed -n 's/^statewise-state: //p')
hold "api-service, jwt" "$jwt" "$token"
hold "api-service, session" "$session" "$STATEWISE_SESSION"
hold gateway "$gateway" none
# What ends the login that is presented comes last.
hold auth-service "$auth" "$(log_in token access_token)" \
    --exclude-method DELETE --exclude-path /logout --exclude-path /revocations
hold "auth-service, ends of logins" "$auth" "$(log_in token access_token)" --include-method DELETE
hold "auth-service, logout" "$auth" "$(log_in token access_token)" --include-path /logout
hold "auth-service, revocations" "$auth" "$(log_in token access_token)" --include-path /revocations
exit "$failed"
