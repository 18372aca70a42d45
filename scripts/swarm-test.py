#!/usr/bin/env python3
"""Deploys deploy/swarm/stack.yml on a swarm of three nodes on this machine and does to it under load what is done to a
swarm: rolls every service, kills a task, scales, drains a node, loses a node. Prints how many requests failed.

usage: swarm-test.py [OPERATION...]

    STATEWISE_BIN_DIR    the services' programs; without it the images are built by the Dockerfile

Needs root and a docker daemon that has or makes the images (scripts/with-docker.sh). Each node is a dockerd of its own
in a network namespace of its own, with its data in a temporary folder; the machine's daemon is asked for images only and
does not join. Leaves nothing behind but the images. Ends with 1 when a read failed, or when a login failed while
auth-service was rolled; not for what was at a node that is lost, of which no answer comes.

A node is a process here, so all share the processors of this machine: what is seen is whether requests fail, and not how
fast they are.
"""

import base64
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from traffic import address_of, failed_of, load, requests_for, status_of, until

ROOT = pathlib.Path(__file__).resolve().parent.parent
STACK, TAG, PORT = "statewise", "swarm-test", 8080
OURS = [f"statewise-{name}:{TAG}" for name in ("auth-service", "api-service", "gateway")]
IMAGES = [*OURS, "redis:7-bookworm", "postgres:15-bookworm"]
# The switch between the nodes has a namespace of its own: the machine's packet filter, which docker sets up to drop what
# is none of its own, is not asked there.
SWITCH, BRIDGE, HERE, NETWORK = "sw0", "bridge", "swhost", "10.99.0"
NODES = (1, 2, 3)
REPLICAS = 2
# How long all tasks may take until they run.
SETTLE = 120
# With sbin: Debian keeps servers there, and what they start.
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def run(*words, check=True, **options):
    done = subprocess.run(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if check and done.returncode:
        sys.exit(f"swarm-test: {' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


class Node:
    """A dockerd behind a link of its own."""

    def __init__(self, number, folder):
        self.number, self.folder = number, folder / f"node{number}"
        self.space, self.port, self.address = f"sw{number}", f"port{number}", f"{NETWORK}.{number}"
        self.socket, self.daemon = f"unix://{self.folder}/docker.sock", None
        self.folder.mkdir()

    def docker(self, *words, **options):
        return run("docker", "--host", self.socket, *words, **options)

    def connect(self):
        """No default route: a node asks the registry for every image that has no digest, and without a way out that
        fails at once. With one that leads nowhere each task starts 20 s later."""
        run("ip", "netns", "add", self.space)
        run("ip", "-n", SWITCH, "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        run("ip", "-n", SWITCH, "link", "set", self.port, "master", BRIDGE, "up")
        for words in ("link set lo up", f"address add {self.address}/24 dev eth0", "link set eth0 up"):
            run("ip", "-n", self.space, *words.split())

    def start(self, legacy):
        """A settings file of its own, or it reads the machine's. `nsenter` and not `ip netns exec`, which hides the
        control groups. A host name of its own is the node's name."""
        (self.folder / "daemon.json").write_text("{}")
        options = {
            "config-file": self.folder / "daemon.json",
            "data-root": self.folder / "data",
            "exec-root": self.folder / "exec",
            "pidfile": self.folder / "dockerd.pid",
            "host": self.socket,
            "cgroup-parent": f"/{self.space}",
        }
        words = " ".join(f"--{name} {value}" for name, value in options.items())
        environment = {**ENVIRONMENT, "PATH": f"{legacy}:{ENVIRONMENT['PATH']}"} if legacy else ENVIRONMENT
        with (self.folder / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                ("nsenter", f"--net=/run/netns/{self.space}", "unshare", "--uts", "sh", "-c")
                + (f"hostname node{self.number} && exec dockerd {words}",),
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def answers(self):
        """Whether it does, or None when it has ended."""
        if self.daemon.poll() is not None:
            return None
        return subprocess.run(("docker", "--host", self.socket, "info"), capture_output=True).returncode == 0

    def cut_off(self, cut=True):
        run("ip", "-n", SWITCH, "link", "set", self.port, "down" if cut else "up")

    def remove(self):
        if self.daemon and self.daemon.poll() is None:
            self.docker("swarm", "leave", "--force", check=False)
            self.daemon.terminate()
            try:
                self.daemon.wait(40)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(f"{self.folder}/")), reverse=True):
            run("umount", mount, check=False)
        for group in sorted(pathlib.Path("/sys/fs/cgroup").glob(f"**/{self.space}/**/"), reverse=True):
            run("rmdir", group, check=False)
        run("ip", "netns", "delete", self.space, check=False)


def start_nodes(folder):
    """All nodes, with the images; the first one is the manager and has what is on disks."""
    run("ip", "netns", "add", SWITCH)
    run("ip", "-n", SWITCH, "link", "add", BRIDGE, "type", "bridge")
    run("ip", "-n", SWITCH, "link", "set", BRIDGE, "up")
    run("ip", "link", "add", HERE, "type", "veth", "peer", "name", "port0", "netns", SWITCH)
    run("ip", "-n", SWITCH, "link", "set", "port0", "master", BRIDGE, "up")
    run("ip", "address", "add", f"{NETWORK}.254/24", "dev", HERE)
    run("ip", "link", "set", HERE, "up")
    nodes = [Node(number, folder) for number in NODES]
    try:
        legacy = None
        for node in nodes:
            node.connect()
            node.start(legacy)
            if node is nodes[0] and not settled(node):
                # A kernel with the older of the two kinds of packet filter: scripts/with-docker.sh.
                legacy = folder / "legacy"
                legacy.mkdir()
                (legacy / "iptables").symlink_to(shutil.which("iptables-legacy", path=ENVIRONMENT["PATH"]))
                node.start(legacy)
        for node in nodes:
            until(f"node {node.number} answers", node.answers)
        archive = folder / "images.tar"
        run("docker", "save", "--output", archive, *IMAGES)
        for node in nodes:
            node.docker("load", "--quiet", "--input", archive)
        archive.unlink()
        manager = nodes[0]
        manager.docker("swarm", "init", "--listen-addr", f"{manager.address}:2377", "--advertise-addr", manager.address)
        token = manager.docker("swarm", "join-token", "--quiet", "worker")
        for node in nodes[1:]:
            node.docker("swarm", "join", "--advertise-addr", node.address, "--token", token, f"{manager.address}:2377")
        manager.docker("node", "update", "--label-add", "statewise.data=true", "node1")
        return nodes
    except BaseException:
        stop_nodes(nodes)
        raise


def settled(node):
    """Whether it answers; not when it ends by itself."""
    found = until("the first node answers or ends", lambda: [answer for answer in [node.answers()] if answer is not False])
    return found[0] is True


def stop_nodes(nodes):
    for node in reversed(nodes):
        node.remove()
    run("ip", "netns", "delete", SWITCH, check=False)


def secret():
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


class Swarm:
    """The stack on the nodes, and what is done to it."""

    def __init__(self, nodes):
        self.nodes, self.manager = nodes, nodes[0]

    def deploy(self):
        secrets = {"postgres-password": secret(), "key-encryption-key": secret(), "state-keys": f"first={secret()}"}
        for name, value in secrets.items():
            self.manager.docker("secret", "create", f"statewise-{name}", "-", input=value)
        variables = {"STATEWISE_ISSUER": f"http://{NETWORK}.1:{PORT}/auth", "STATEWISE_VERSION": TAG}
        ENVIRONMENT.update(variables)
        stack = ROOT / "deploy/swarm/stack.yml"
        self.manager.docker("stack", "deploy", "--compose-file", stack, "--resolve-image", "never", STACK)
        self.settle()

    def tasks(self, service, *filters):
        """Ids of tasks that run, their nodes and names."""
        chosen = [f"--filter={one}" for one in ("desired-state=running", *filters)]
        form = "{{.ID}} {{.Node}} {{.Name}} {{.CurrentState}}"
        lines = self.manager.docker("service", "ps", *chosen, "--format", form, f"{STACK}_{service}").splitlines()
        return [line.split() for line in lines if line.split()[3:4] == ["Running"]]

    def settled(self):
        services = self.manager.docker("service", "ls", "--format", "{{.Replicas}}").splitlines()
        counts = [line.split()[0].split("/") for line in services]
        return bool(counts) and all(one == other for one, other in counts)

    def settle(self):
        try:
            until("all tasks run", self.settled, SETTLE)
        except SystemExit:
            self.explain()
            raise
        for node in self.nodes:
            until(f"the gateway of node {node.number} is ready", lambda node=node: status_of(f"http://{node.address}:{PORT}/readyz") == 200)

    def explain(self):
        """What the tasks are at, and the last words of those that ended."""
        form = "{{.Name}} {{.Node}} {{.CurrentState}} {{.Error}}"
        print(self.manager.docker("stack", "ps", "--no-trunc", "--format", form, STACK))
        for node in self.nodes:
            for container in node.docker("ps", "--all", "--quiet", "--last", "12").splitlines():
                print(node.docker("ps", "--all", "--filter", f"id={container}", "--format", "{{.Names}} {{.Status}}", check=False))
                logs = subprocess.run(
                    ("docker", "--host", node.socket, "logs", "--tail", "5", container), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )  # fmt: skip
                print(logs.stdout)

    def roll(self, *services):
        """All tasks of the services anew, services at the same time."""
        for service in services:
            self.manager.docker("service", "update", "--force", "--detach", "--quiet", f"{STACK}_{service}")
        for service in services:
            state = until(f"the update of {service} ends", lambda service=service: self.update_ended(service), 180)
            if state != "completed":
                sys.exit(f"swarm-test: the update of {service} is {state}")

    def update_ended(self, service):
        form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        state = self.manager.docker("service", "inspect", "--format", form, f"{STACK}_{service}")
        return None if state in ("", "updating") else state

    def kill(self, service):
        """SIGKILL to a task's process, as when it crashes."""
        identity, name, *_ = self.tasks(service)[0]
        node = self.nodes[int(name.removeprefix("node")) - 1]
        container = self.manager.docker("inspect", "--format", "{{.Status.ContainerStatus.ContainerID}}", identity)
        node.docker("kill", container)
        until("it was replaced", lambda: identity not in [task[0] for task in self.tasks(service)])
        self.settle()

    def scale(self, number):
        pairs = [f"{STACK}_{service}={number}" for service in ("api-jwt", "api-session")]
        self.manager.docker("service", "scale", "--detach", *pairs)
        for service in ("api-jwt", "api-session"):
            until(f"{number} of {service} run", lambda service=service: len(self.tasks(service)) == number, 120)

    def scale_up_and_down(self):
        self.scale(6)
        time.sleep(3)
        self.scale(REPLICAS)
        # Those that ended go on serving for their grace.
        time.sleep(6)

    def drain(self, node):
        self.manager.docker("node", "update", "--availability", "drain", f"node{node.number}")
        until("nothing runs there", lambda: not node.docker("ps", "--quiet"))
        for service in ("api-jwt", "api-session", "auth-service"):
            until(f"{service} runs elsewhere", lambda service=service: len(self.tasks(service)) == REPLICAS)
        self.manager.docker("node", "update", "--availability", "active", f"node{node.number}")
        self.settle()

    def runs_without(self, node, service):
        elsewhere = [name for _, name, *_ in self.tasks(service) if name != f"node{node.number}"]
        return len(elsewhere) >= REPLICAS

    def lose(self, node):
        """The node is cut off until its tasks run elsewhere, and some seconds more."""
        node.cut_off()
        state = ("node", "inspect", "--format", "{{.Status.State}}", f"node{node.number}")
        until("it is noticed", lambda: self.manager.docker(*state) == "down")
        for service in ("api-jwt", "api-session", "auth-service"):
            until(f"{service} runs elsewhere", lambda service=service: self.runs_without(node, service))
        time.sleep(3)
        node.cut_off(False)
        until("it is back", lambda: self.manager.docker(*state) == "ready")
        self.settle()


def operations(swarm):
    second, third = swarm.nodes[1], swarm.nodes[2]
    return {
        "nothing": lambda: time.sleep(5),
        "roll api-jwt and api-session": lambda: swarm.roll("api-jwt", "api-session"),
        "roll auth-service": lambda: swarm.roll("auth-service"),
        "roll gateway": lambda: swarm.roll("gateway"),
        "kill a task of api-session": lambda: swarm.kill("api-session"),
        "scale 2 to 6 to 2": swarm.scale_up_and_down,
        "drain a node": lambda: swarm.drain(second),
        "lose a node": lambda: swarm.lose(third),
    }


def measure(swarm, name, act, requests):
    """One line of the table; how many requests failed that may not."""
    pools, keys, logins = requests
    gateways = [address_of(f"http://{node.address}:{PORT}") for node in swarm.nodes]
    lost = {swarm.nodes[2].address} if name == "lose a node" else ()
    begun = time.monotonic()
    reads, posts, _ = load(gateways, pools + keys, logins, act, lost)
    took = time.monotonic() - begun
    failed = failed_of(reads), failed_of(posts)
    cells = (f"{failed[0]} of {sum(reads.values())}", f"{failed[1]} of {sum(posts.values())}")
    print(f"| {name:30} | {took:4.0f} s | {cells[0]:>12} | {cells[1]:>9} | {remarks(reads + posts)}", flush=True)
    if lost:
        return 0
    return failed[0] + (failed[1] if name == "roll auth-service" else 0)


def remarks(counts):
    return "; ".join(f"{number} {kind}" for kind, number in sorted(counts.items()) if kind != "answered")


def main():
    if os.geteuid() != 0:
        sys.exit("swarm-test: needs root: it makes network namespaces and starts docker daemons")
    run(ROOT / "scripts/images.sh", TAG)
    # Also then the nodes are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="statewise-swarm-"))
    nodes, failed = [], 0
    try:
        begun = time.monotonic()
        nodes = start_nodes(folder)
        print(f"swarm-test: three nodes in {time.monotonic() - begun:.0f} s", flush=True)
        swarm, begun = Swarm(nodes), time.monotonic()
        swarm.deploy()
        print(f"swarm-test: the stack is ready in {time.monotonic() - begun:.0f} s", flush=True)
        requests = requests_for(f"http://{nodes[0].address}:{PORT}")
        print("| operation | took | reads failed | logins failed | what clients noticed\n| --- | --- | --- | --- | ---")
        for name, act in operations(swarm).items():
            if not sys.argv[1:] or name in sys.argv[1:]:
                failed += measure(swarm, name, act, requests)
    finally:
        stop_nodes(nodes)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
