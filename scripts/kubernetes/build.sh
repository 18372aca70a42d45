#!/usr/bin/env bash
# build.sh BIN: Kubernetes, etcd and CoreDNS into the folder BIN, from the Go module proxy alone: 22 minutes on two cores.
# The staging modules of k8s.io/kubernetes have version v0.0.0 in its go.mod; the proxy has them as v0.X.Y.
set -euo pipefail
mkdir -p "$1"; bin=$(cd "$1" && pwd)
work=$(mktemp -d "$bin/build.XXXX"); trap 'rm -rf "$work"' EXIT

kubernetes() { # VERSION (without v1.) COMMAND...
    local version=$1 source; shift
    mkdir -p "$work/$version"; cd "$work/$version"
    source=$(go mod download -json "k8s.io/kubernetes@v1.$version" | python3 -c 'import json,sys; print(json.load(sys.stdin)["Dir"])')
    { echo 'module k8sbuild'; grep '^go ' "$source/go.mod"; echo "require k8s.io/kubernetes v1.$version"
      grep -oE 'k8s.io/[a-z0-9-]+ v0\.0\.0( |$)' "$source/go.mod" | cut -d' ' -f1 | sort -u | sed "s|.*|replace & => & v0.$version|"; } >go.mod
    { printf '//go:build tools\npackage k8sbuild\nimport (\n'; printf ' _ "k8s.io/kubernetes/cmd/%s"\n' "$@"; echo ')'; } >tools.go
    go mod tidy -e 2>/dev/null
    for command in "$@"; do
        local begin=$SECONDS
        go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${version%.*}" \
            -o "$bin/$command" "k8s.io/kubernetes/cmd/$command"
        echo "$command v1.$version: $((SECONDS - begin)) s"
    done
}

single() { # NAME MODULE@VERSION PACKAGE
    local begin=$SECONDS
    mkdir -p "$work/$1"; cd "$work/$1"; go mod init "build/$1" 2>/dev/null
    go get -tool "$2" 2>/dev/null || go get "${2}"
    # Alone in an image: without libraries.
    CGO_ENABLED=0 go build -ldflags '-s -w' -o "$bin/$1" "$3"
    echo "$1 ${2##*@}: $((SECONDS - begin)) s"
}

kubernetes 36.3 kube-apiserver kube-controller-manager kube-scheduler kubectl
# A node may be three minor versions older; from 1.35 on the kubelet refuses control groups v1 by default.
kubernetes 34.4 kubelet kube-proxy
single etcd go.etcd.io/etcd/server/v3@v3.6.13 go.etcd.io/etcd/server/v3
single coredns github.com/coredns/coredns@v1.12.4 github.com/coredns/coredns
