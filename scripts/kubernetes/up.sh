#!/usr/bin/env bash
# K=state-folder BIN=folder-of-cluster-binaries up.sh: one node from nothing to deploy/kubernetes/overlays/local, ready.
# Needs root, containerd, runc, containernetworking-plugins, iptables, openssl, gcc, and a docker daemon with the images
# (scripts/images.sh 1). See down.sh.
#
#   DNS_CACHE     for how many seconds the cluster's DNS keeps an answer, default 0
#   PROXY_PERIOD  how often kube-proxy looks after the rules at most, default 1s
set -euo pipefail; cd "$(dirname "$0")"
: "${K:?}" "${BIN:?}"
export K BIN
DNS_CACHE=${DNS_CACHE:-0} PROXY_PERIOD=${PROXY_PERIOD:-1s}
CNI=${CNI:-/usr/lib/cni}
mkdir -p "$K"/{pki,cni,log,pid,opt,kubelet,volume-plugins,pod-logs,images}
say() { printf '%5.1f s  %s\n' "$(echo "$(date +%s.%N) - $begin" | bc)" "$*"; }
start() { local name=$1; shift; setsid "$@" >"$K/log/$name.log" 2>&1 </dev/null & echo $! >"$K/pid/$name"; }
wait_for() { local i; for i in $(seq 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "gave up waiting: $*" >&2; exit 1; }
# What the plugin `cache` is told besides its seconds: nothing of the cluster's is kept, where they are 0.
dns_cache() {
    if [ "$DNS_CACHE" = 0 ]; then echo 'cache 30 {\n            disable success cluster.local\n            disable denial cluster.local\n        }'; else echo "cache $DNS_CACHE"; fi
}
begin=$(date +%s.%N)

# Certificates and kubeconfigs.
cd "$K/pki"
sign() { # NAME SUBJECT [ALTERNATIVE NAMES]
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days 30 -out "$1.crt" 2>/dev/null \
        -extfile <(echo "extendedKeyUsage=clientAuth,serverAuth"; [ -z "${3:-}" ] || echo "subjectAltName=$3")
}
kubeconfig() { # NAME
    cat >"$K/$1.conf" <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.244.0.1:6443", certificate-authority: "$K/pki/ca.crt"}}]
users: [{name: u, user: {client-certificate: "$K/pki/$1.crt", client-key: "$K/pki/$1.key"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
END
}
if [ ! -e ca.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=cluster -keyout ca.key -out ca.crt 2>/dev/null
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out sa.key 2>/dev/null; openssl pkey -in sa.key -pubout -out sa.pub
    sign apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:10.244.0.1"
    sign apiserver-to-kubelet /O=system:masters/CN=apiserver-to-kubelet
    sign front-proxy /CN=front-proxy
    sign kubelet-server /CN=n1 "DNS:n1,IP:10.244.0.1"
    sign admin /O=system:masters/CN=admin;              kubeconfig admin
    sign controller-manager /CN=system:kube-controller-manager; kubeconfig controller-manager
    sign scheduler /CN=system:kube-scheduler;           kubeconfig scheduler
    sign kube-proxy /CN=system:kube-proxy;              kubeconfig kube-proxy
    sign kubelet /O=system:nodes/CN=system:node:n1;     kubeconfig kubelet
fi
cd - >/dev/null
for file in containerd.toml kubelet.yaml kube-proxy.yaml; do sed "s|@K@|$K|g; s|@CNI@|$CNI|g; s|@PROXY_PERIOD@|$PROXY_PERIOD|" cluster/$file >"$K/$file"; done
sed "s|@K@|$K|g" cluster/10-bridge.conflist >"$K/cni/10-bridge.conflist"
: >"$K/resolv.conf"
say certificates

# The bridge of the pods is there before them: its address is the node's, and the API server's.
ip link show k8s0 >/dev/null 2>&1 || { ip link add k8s0 type bridge; ip address add 10.244.0.1/24 dev k8s0; ip link set k8s0 up; }
[ -e "$K/sysctl" ] || sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes \
    net.ipv4.conf.all.route_localnet net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables >"$K/sysctl"
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

start containerd containerd --config "$K/containerd.toml"
start etcd "$BIN/etcd" --data-dir "$K/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380
P=$K/pki
start apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=10.244.0.1 --advertise-address=10.244.0.1 \
    --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$P/ca.crt" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
    --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$P/ca.crt" --kubelet-client-certificate="$P/apiserver-to-kubelet.crt" --kubelet-client-key="$P/apiserver-to-kubelet.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
    --requestheader-client-ca-file="$P/ca.crt" --requestheader-allowed-names=front-proxy --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$P/front-proxy.crt" --proxy-client-key-file="$P/front-proxy.key"
kubectl() { "$BIN/kubectl" --kubeconfig "$K/admin.conf" "$@"; }
wait_for ctr -a "$K/containerd.sock" version
# From docker's store into the cluster's, with two that are only a program each.
program_image() { # NAME PROGRAM
    cp "$2" "$K/images/program"
    printf 'FROM scratch\nCOPY program /program\nENTRYPOINT ["/program"]\n' | docker build --quiet --tag "localhost/$1:1" --file - "$K/images" >/dev/null
}
if [ ! -e "$K/images/done" ]; then
    gcc -static -Os -o "$K/pause" cluster/pause.c
    program_image pause "$K/pause"
    program_image coredns "$BIN/coredns"
    rm "$K/images/program"
    docker save localhost/pause:1 localhost/coredns:1 redis:7-bookworm postgres:15-bookworm \
        statewise-{auth-service,api-service,gateway,loadtest}:1 | ctr -a "$K/containerd.sock" -n k8s.io images import - >/dev/null
    touch "$K/images/done"
fi
say images
wait_for kubectl get --raw /readyz
say API server
start controller-manager "$BIN/kube-controller-manager" --kubeconfig="$K/controller-manager.conf" --authentication-kubeconfig="$K/controller-manager.conf" \
    --authorization-kubeconfig="$K/controller-manager.conf" --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt"
start scheduler "$BIN/kube-scheduler" --kubeconfig="$K/scheduler.conf" --authentication-kubeconfig="$K/scheduler.conf" \
    --authorization-kubeconfig="$K/scheduler.conf" --bind-address=127.0.0.1 --leader-elect=false
start kubelet "$BIN/kubelet" --config="$K/kubelet.yaml" --kubeconfig="$K/kubelet.conf" --root-dir="$K/kubelet" --cert-dir="$K/pki" \
    --hostname-override=n1 --node-ip=10.244.0.1
start kube-proxy "$BIN/kube-proxy" --config="$K/kube-proxy.yaml"
wait_for kubectl get node n1
kubectl wait --for=condition=Ready node/n1 --timeout=60s >/dev/null
say node ready
sed "s|@DNS_CACHE@|$(dns_cache)|" cluster/coredns.yaml | kubectl apply -f - >/dev/null
kubectl -n kube-system rollout status deployment/coredns --timeout=90s >/dev/null
say cluster DNS

overlay=../../deploy/kubernetes/overlays/local
kubectl apply -f $overlay/namespace.yaml >/dev/null
secret() { head -c 32 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'; }
password=$(secret)
kubectl -n statewise get secret statewise >/dev/null 2>&1 || kubectl -n statewise create secret generic statewise \
    --from-literal=key-encryption-key="$(secret)" --from-literal=state-keys="first=$(secret)" \
    --from-literal=postgres-password="$password" --from-literal=database-url="postgres://statewise:$password@postgres:5432/statewise" >/dev/null
kubectl apply --dry-run=server -k $overlay >"$K/log/dry-run.txt"
kubectl apply -k $overlay >/dev/null
for name in redis postgres; do kubectl -n statewise rollout status statefulset/$name --timeout=90s >/dev/null; done
for name in auth-service api-jwt api-session gateway; do kubectl -n statewise rollout status deployment/$name --timeout=90s >/dev/null; done
wait_for curl -sf -m 2 http://127.0.0.1:30080/readyz
say "system ready on http://127.0.0.1:30080"
