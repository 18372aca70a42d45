#!/usr/bin/env python3
"""Replaces every process of a system under load, one at a time, and counts what its clients notice.

usage: roll.py FOLDER-OF-OUR-PROGRAMS [SECONDS-BETWEEN]
       roll.py --compose PROJECT GATEWAY-URL GATEWAY-URL [SECONDS-BETWEEN]

The first starts a system of two of each, the auth-services on a PostgreSQL; needs redis-server and PostgreSQL. The
second takes the containers of a Compose project that runs. Clients keep connections to both gateways; each goes to the
other gateway when one refuses or says that it closes. Then each member of each pool, each gateway and each auth-service
in turn is sent SIGTERM, and started again when it has ended. Ends with 1 when a request failed: traffic.py says which
have.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from traffic import PATIENCE, address_of, failed_of, load, requests_for, status_of, until


class Process:
    """A process of the system that can be ended and started again as it was."""

    def __init__(self, name, pid, url, child=None):
        self.name, self.pid, self.url, self.child = name, pid, url, child
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode()
        self.environment = dict(line.split("=", 1) for line in environment.split("\0") if "=" in line)
        self.program = os.readlink(f"/proc/{pid}/exe")

    def lives(self):
        if self.child:
            return self.child.poll() is None
        try:
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False

    def roll(self):
        """SIGTERM, its end, its start; returns the seconds that its end took."""
        begun = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        until(f"{self.name} ends", lambda: not self.lives())
        took = time.monotonic() - begun
        self.start()
        return took

    def start(self):
        self.child = subprocess.Popen(
            [self.program], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self.child.pid
        until(f"{self.name} is ready", lambda: status_of(f"{self.url}/readyz") == 200)


class Container:
    """A container of a Compose project, which is stopped as Compose stops it."""

    def __init__(self, identity):
        self.identity = identity

    def roll(self):
        begun = time.monotonic()
        docker("stop", self.identity)
        took = time.monotonic() - begun
        docker("start", self.identity)
        health = ("inspect", "--format", "{{.State.Health.Status}}", self.identity)
        until(f"{self.identity} is healthy", lambda: docker(*health) == "healthy")
        return took


def docker(*words):
    return subprocess.run(("docker", *words), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def measure(name, roll, gateways, requests):
    """The load of all clients while `roll` runs."""
    counts, _, took = load(gateways, requests, [], roll)
    failed = failed_of(counts)
    print(f"{name}: {failed} failed of {sum(counts.values())}; longest stop {took:.2f} s; {dict(counts)}", flush=True)
    return failed


def roll_stack(folder, between):
    """Two of each, started for this alone."""
    with tempfile.TemporaryDirectory() as temporary:
        ready = pathlib.Path(temporary, "ready.json")
        words = "stack up --strategy jwt --strategy session --replicas 2 --gateways 2 --auth-replicas 2 --postgres"
        words = [*words.split(), "--ready-file", ready]
        stack = subprocess.Popen([f"{folder}/loadtest", *words], stdout=subprocess.DEVNULL)
        started = []
        try:
            found = json.loads(until("the stack is ready", lambda: ready.exists() and ready.read_text()))
            ours = [one for one in found["processes"] if one["name"].startswith(("api", "auth", "gateway"))]
            started = [Process(one["name"], one["pid"], one["url"]) for one in ours]
            gateways = [one["url"] for one in found["gateways"]]
            return roll_all(gateways, lambda part: [one for one in started if one.name.startswith(f"{part}-")], between)
        finally:
            for process in started:
                if process.child and process.child.poll() is None:
                    process.child.terminate()
                    process.child.wait(PATIENCE)
            stack.terminate()
            stack.wait(PATIENCE)


def roll_project(project, gateways, between):
    def members(part):
        labels = (f"com.docker.compose.project={project}", f"com.docker.compose.service={part}")
        found = docker("ps", "--quiet", *(f"--filter=label={label}" for label in labels)).split()
        return [Container(identity) for identity in found]

    return roll_all(gateways, members, between)


def roll_all(urls, members_of, between):
    """Each part in turn; returns how many requests failed."""
    pools, keys, _ = requests_for(urls[0])
    gateways = [address_of(url) for url in urls]

    def each(members):
        longest = 0.0
        for member in members:
            longest = max(longest, member.roll())
            time.sleep(between)
        return longest

    failed = 0
    for part in ("api-jwt", "api-session", "auth-service", "gateway"):
        members = members_of(part)
        if len(members) < 2:
            sys.exit(f"{len(members)} of {part}: nobody serves while the only one is replaced")
        failed += measure(f"{len(members)} × {part}", lambda members=members: each(members), gateways, pools + keys)
    return failed


def main():
    words = sys.argv[1:]
    if words[:1] == ["--compose"] and len(words) in (4, 5):
        failed = roll_project(words[1], words[2:4], float(words[4]) if words[4:] else 2.0)
    elif len(words) in (1, 2) and not words[0].startswith("-"):
        failed = roll_stack(words[0], float(words[1]) if words[1:] else 2.0)
    else:
        sys.exit(__doc__)
    sys.exit(1 if failed else 0)


main()
