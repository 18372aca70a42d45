#!/usr/bin/env python3
"""Deploys deploy/kubernetes/overlays/local on a cluster of one node and does to it under load what is done to a cluster:
restarts, scales, deletes, kills and evicts every service. Prints how many requests failed.

usage: kubernetes-test.py STATE-FOLDER FOLDER-OF-CLUSTER-BINARIES [OPERATION...]

    OPERATION    restart:NAME | scale:NAME | delete:NAME | kill:NAME | evict:NAME    (NAME: a deployment; default: all)
    DNS_CACHE    for how many seconds the cluster's DNS keeps an answer (0)
    PROXY_PERIOD how often kube-proxy looks after the rules at most (1s)

The cluster is started by scripts/kubernetes/up.sh and ended by down.sh; both folders stay. Ends with 1 when a request
failed.
"""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from traffic import address_of, failed_of, load, requests_for, until

SCRIPTS = pathlib.Path(__file__).resolve().parent / "kubernetes"
GATEWAY = "http://127.0.0.1:30080"
DEPLOYMENTS = ("api-jwt", "api-session", "auth-service", "gateway")
REPLICAS = 2
# What is cached may fail requests after the end of an operation.
AFTER = 8


class Cluster:
    def __init__(self, state, binaries):
        self.environment = {**os.environ, "K": str(state), "BIN": str(binaries)}
        self.command = (binaries / "kubectl", "--kubeconfig", state / "admin.conf", "--namespace", "statewise")

    def up(self):
        subprocess.run((SCRIPTS / "up.sh",), env=self.environment, check=True)

    def down(self):
        subprocess.run((SCRIPTS / "down.sh",), env=self.environment, check=True)

    def kubectl(self, *words, check=True, **options):
        done = subprocess.run((*self.command, *words), capture_output=True, text=True, timeout=200, **options)
        if check and done.returncode:
            sys.exit(f"kubernetes-test: kubectl {' '.join(words)}: {done.stderr}")
        return done

    def pods(self, name):
        """All pods of a deployment, and those that are not ending."""
        found = self.kubectl("get", "pods", "--selector", f"app.kubernetes.io/name={name}", "--output", "json").stdout
        every = json.loads(found)["items"]
        return every, [pod["metadata"]["name"] for pod in every if "deletionTimestamp" not in pod["metadata"]]

    def settle(self, name, number=REPLICAS):
        """So many pods, all of them ready and none that is still ending."""
        self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
        until(f"{number} of {name} are there", lambda: len(self.pods(name)[0]) == number, 180)

    def scale(self, name, number):
        """The autoscaler sees to no less than its minimum, so it is told first."""
        patch = json.dumps({"spec": {"minReplicas": number}})
        self.kubectl("patch", "hpa", name, "--patch", patch)
        self.kubectl("scale", f"deployment/{name}", f"--replicas={number}")
        self.settle(name, number)

    def evict(self, pod):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "statewise"}}
        path = f"/api/v1/namespaces/statewise/pods/{pod}/eviction"
        return self.kubectl("create", "--raw", path, "--filename", "-", check=False, input=json.dumps(body)).returncode == 0

    def operate(self, verb, name):
        if verb == "restart":
            self.kubectl("rollout", "restart", f"deployment/{name}")
        elif verb == "scale":
            self.scale(name, 6)
            time.sleep(3)
            self.scale(name, REPLICAS)
        elif verb == "delete":
            self.kubectl("delete", "pod", self.pods(name)[1][0], "--wait=false")
        elif verb == "kill":
            # No drain, as when a process or a node dies.
            self.kubectl("delete", "pod", self.pods(name)[1][0], "--force", "--grace-period=0")
        elif verb == "evict":
            # What draining a node does that has all replicas: the budget lets one go after the other.
            for pod in self.pods(name)[1]:
                until(f"{pod} may be evicted", lambda pod=pod: self.evict(pod), 180)
        else:
            sys.exit(__doc__)
        self.settle(name)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    state, binaries = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    verbs = ("restart", "scale", "delete", "kill", "evict")
    operations = sys.argv[3:] or [f"{verb}:{name}" for name in DEPLOYMENTS for verb in verbs]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cluster, failed = Cluster(state, binaries), 0
    try:
        cluster.up()
        pools, keys, logins = requests_for(GATEWAY)
        print("| operation | took | reads failed | logins failed | what clients noticed\n| --- | --- | --- | --- | ---")
        for operation in operations:
            verb, _, name = operation.partition(":")
            begun = time.monotonic()
            act = lambda verb=verb, name=name: cluster.operate(verb, name)
            reads, posts, _ = load([address_of(GATEWAY)], pools + keys, logins, act, after=AFTER)
            took = time.monotonic() - begun
            cells = [f"{failed_of(counts)} of {sum(counts.values())}" for counts in (reads, posts)]
            noticed = collections.Counter(reads) + collections.Counter(posts)
            told = "; ".join(f"{number} {kind}" for kind, number in sorted(noticed.items()) if kind != "answered")
            print(f"| {operation:24} | {took:4.0f} s | {cells[0]:>14} | {cells[1]:>10} | {told}", flush=True)
            failed += failed_of(reads) + failed_of(posts)
    finally:
        cluster.down()
    sys.exit(1 if failed else 0)


main()
