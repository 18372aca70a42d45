#!/usr/bin/env bash
# usage: scripts/build-jaeger.sh [page]
# Builds a real Jaeger v2 from its Go module, some six minutes on two cores, and prints where the program is; with
# `page` also the page that a person looks at, which the module has not: that needs git and npm, and five minutes more.
# What was built stays in the user's cache, by version. JAEGER names a Jaeger that is there (v2, its page inside).
set -euo pipefail

# Jaeger 2.13: the same code under the number that Go modules know it by.
readonly VERSION=v1.76.0
readonly PAGE_VERSION=v2.14.0
readonly NODE_VERSION=24
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statewise/jaeger
program=$cache/jaeger-$VERSION
page=$cache/page-$PAGE_VERSION

fail() {
    echo "build-jaeger: $*" >&2
    exit 1
}

# What is built elsewhere first and then put there is there whole.
build_program() {
    command -v go >/dev/null || fail "go is missing (1.25 or later, see https://go.dev/dl), or set JAEGER to a Jaeger v2"
    mkdir -p "$cache/module"
    cd "$cache/module"
    [ -f go.mod ] || go mod init jaeger-build >&2
    echo "build-jaeger: building Jaeger $VERSION, which takes some minutes once" >&2
    go get -tool "github.com/jaegertracing/jaeger/cmd/jaeger@$VERSION" >&2
    go build -trimpath -o "$program.new" github.com/jaegertracing/jaeger/cmd/jaeger >&2
    mv "$program.new" "$program"
}

# What its tools say is of use only when they fail.
quietly() {
    "$@" >"$cache/page.log" 2>&1 || {
        cat "$cache/page.log" >&2
        exit 1
    }
}

build_page() {
    local source=$cache/page-source
    command -v npm >/dev/null || fail "npm is missing, which the page is built with"
    echo "build-jaeger: building the page of Jaeger $PAGE_VERSION, which takes some minutes once" >&2
    rm -rf "$source"
    quietly git -c advice.detachedHead=false clone --depth 1 --branch "$PAGE_VERSION" \
        "${JAEGER_UI_REPOSITORY:-https://github.com/jaegertracing/jaeger-ui}" "$source"
    # It wants a newer Node.js than many systems have: the npm package `node` carries one.
    mkdir -p "$cache/node"
    cd "$cache/node"
    quietly npm install --no-audit --no-fund "node@$NODE_VERSION"
    PATH=$cache/node/node_modules/node/bin:$PATH
    cd "$source"
    quietly npm ci --ignore-scripts --no-audit --no-fund
    cd "$source/packages/plexus"
    quietly npm run build
    cd "$source/packages/jaeger-ui"
    NODE_ENV=production REACT_APP_VSN_STATE='{}' quietly npx vite build
    mv build "$page"
    cd "$cache"
    rm -rf "$source" "$cache/page.log"
}

if [ -n "${JAEGER:-}" ]; then
    [ -x "$JAEGER" ] || fail "JAEGER is $JAEGER, which is no program"
    echo "$JAEGER"
    exit
fi
[ -x "$program" ] || (build_program)
if [ "${1:-}" = page ] && [ ! -e "$page/index.html" ]; then
    (build_page) || echo "build-jaeger: the page could not be built; what Jaeger has can be asked for all the same" >&2
fi
echo "$program"
