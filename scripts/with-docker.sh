#!/usr/bin/env bash
# usage: scripts/with-docker.sh COMMAND [ARGUMENT...]
# Runs the command with a docker daemon. One that answers is used and left as it is. Where none does, root gets one for
# as long as the command runs; its images and its build cache stay where docker keeps them.
set -euo pipefail

# So long a daemon may take until it answers, in seconds.
readonly PATIENCE=60

fail() {
    echo "with-docker: $*" >&2
    exit 1
}

[ $# -gt 0 ] || fail "no command; usage: scripts/with-docker.sh COMMAND [ARGUMENT...]"

answers() {
    docker info >/dev/null 2>&1
}

answers && exec "$@"
[ "$(id -u)" -eq 0 ] || fail "the docker daemon does not answer: is it running, and may $(id -un) use it? Root would get one here."
"$(dirname "$0")/install.sh" docker dockerd
# Debian's place for servers, and for what they start, is not on everyone's PATH.
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d)
log=$work/dockerd.log
daemon=

stop() {
    [ -n "$daemon" ] || return 0
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    daemon=
}

finish() {
    local code=$?
    stop
    if [ "$code" -ne 0 ] && [ -s "$log" ]; then
        echo "with-docker: the last lines of the daemon's log:" >&2
        tail -n 20 "$log" >&2
    fi
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start FOLDER: with the programs in this folder before all others; whether it answers.
start() {
    local deadline=$((SECONDS + PATIENCE))
    # In a session of its own: a Ctrl-C is for the command, which may need the daemon to tidy up.
    PATH=$1:$PATH setsid dockerd >"$log" 2>&1 &
    daemon=$!
    until answers; do
        if ! kill -0 "$daemon" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            stop
            return 1
        fi
        sleep 0.2
    done
}

# The daemon itself finds the storage driver that works here. It does not find out which of the two kinds of packet
# filter the kernel has, and needs one, or no container reaches anything.
how="as the system has it"
mkdir "$work/as-is" "$work/legacy"
if ! start "$work/as-is"; then
    legacy=$(command -v iptables-legacy) || fail "no docker daemon could be started"
    how="with iptables-legacy"
    ln -s "$legacy" "$work/legacy/iptables"
    start "$work/legacy" || fail "no docker daemon could be started, with iptables-legacy neither"
fi
echo "with-docker: started dockerd $how, $(docker info --format '{{.ServerVersion}} with {{.Driver}}')"
"$@"
