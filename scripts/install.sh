#!/usr/bin/env bash
# Installs programs that tests, demo and benchmarks run, with the package manager of this machine, unless they are there.
# Servers that come with a package are not started: every test starts its own, on a free port.
set -euo pipefail

fail() {
    echo "install: $*" >&2
    exit 1
}

usage() {
    echo "usage: scripts/install.sh TOOL...   redis postgresql nginx haproxy wrk curl jq shellcheck python3 python3-venv node npm c++ debootstrap docker dockerd docker-compose ip cni-plugins chromium chromedriver prometheus"
}

is_there() {
    case $1 in
        redis) command -v redis-server || command -v valkey-server ;;
        # Debian keeps the server's programs off PATH.
        postgresql) command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' ;;
        cni-plugins) compgen -G /usr/lib/cni/bridge ;;
        # Debian keeps ensurepip, without which an environment has no pip, in a package of its own.
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        # With promtool, which checks rules.
        prometheus) command -v prometheus && command -v promtool ;;
        docker-compose) docker compose version 2>/dev/null || command -v docker-compose ;;
        # Debian's place for servers is not on everyone's PATH.
        nginx | haproxy | debootstrap | dockerd | ip) PATH=$PATH:/usr/sbin:/sbin command -v "$1" ;;
        *) command -v "$1" ;;
    esac >/dev/null
}

# The package managers that are known, the first one found is used.
manager() {
    local name
    for name in apt-get dnf apk pacman; do
        if command -v "$name" >/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "no known package manager here (apt-get, dnf, apk, pacman): please install by hand: $*"
}

# package MANAGER TOOL: the name of the package that has the tool.
package() {
    case $1:$2 in
        apt-get:redis) echo redis-server ;;
        apt-get:docker | apt-get:dockerd) echo docker.io ;;
        dnf:dockerd) echo moby-engine ;;
        apt-get:cni-plugins | dnf:cni-plugins) echo containernetworking-plugins ;;
        dnf:ip) echo iproute ;;
        apt-get:ip | apk:ip | pacman:ip) echo iproute2 ;;
        apk:dockerd | pacman:dockerd) echo docker ;;
        dnf:prometheus) echo golang-github-prometheus ;;
        apt-get:chromedriver) echo chromium-driver ;;
        apk:chromedriver) echo chromium-chromedriver ;;
        pacman:chromedriver) echo chromium ;;
        dnf:redis | pacman:redis) echo valkey ;;
        dnf:postgresql) echo postgresql-server ;;
        dnf:shellcheck) echo ShellCheck ;;
        apt-get:c++ | apk:c++) echo g++ ;;
        dnf:c++) echo gcc-c++ ;;
        pacman:c++) echo gcc ;;
        dnf:python3-venv | apk:python3-venv) echo python3 ;;
        pacman:python3 | pacman:python3-venv) echo python ;;
        apt-get:node | apk:node | dnf:node | pacman:node) echo nodejs ;;
        dnf:npm) echo nodejs-npm ;;
        *) echo "$2" ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "not root, and there is no sudo; please run as root: $*"
    fi
}

# Debian starts a server when its package is installed, unless this file says no; one that is there already stays.
readonly POLICY=/usr/sbin/policy-rc.d
policy_made=no

allow_starts_again() {
    [ "$policy_made" = no ] || as_root rm -f "$POLICY"
}

install_by_apt() {
    as_root apt-get update -qq
    trap allow_starts_again EXIT
    if [ ! -e "$POLICY" ]; then
        policy_made=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

[ $# -gt 0 ] || {
    usage >&2
    exit 2
}

[ "$(uname)" = Linux ] || fail "Linux only: the load test reads /proc. Elsewhere, docker compose up --build"

missing=()
for tool in "$@"; do
    is_there "$tool" || missing+=("$tool")
done
[ ${#missing[@]} -gt 0 ] || exit 0

manager=$(manager "${missing[@]}")
packages=()
for tool in "${missing[@]}"; do packages+=("$(package "$manager" "$tool")"); done

echo "install: ${missing[*]} not found, installing with $manager: ${packages[*]}"
case $manager in
    apt-get) install_by_apt "${packages[@]}" ;;
    dnf) as_root dnf install -y -q "${packages[@]}" ;;
    apk) as_root apk add -q "${packages[@]}" ;;
    pacman) as_root pacman -S --noconfirm --needed "${packages[@]}" ;;
esac

for tool in "${missing[@]}"; do
    is_there "$tool" || fail "$tool is still not found after installing ${packages[*]}"
done
