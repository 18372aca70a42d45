#!/usr/bin/env python3
"""What Nagle's algorithm on the way to Redis costs: two builds side by side, with packets that take their time.

The delay proxy of the load test acknowledges what it gets at once or when its kernel likes, so it cannot show what an
acknowledgement from far away does. Here packets are delayed, as on a real way: a stack and its load generator are in one
network namespace, Redis in another, and what goes from one to the other passes this program by two TUN devices. The kernel
needs no netem for it.

Both builds are arms of one `loadtest compare`, so they meet the same machine in turn. The rows are its rows; that it calls
the machine DISTURBED is this program's own work and Redis', which it does not know.
usage: nagle.py FOLDER-OF-BUILD-BEFORE FOLDER-OF-BUILD-AFTER [--delays MS,MS…] [--rate R] [--rounds N] [--strategy S] [--out DIR]
As root, with ip(8), redis-server and redis-cli. `loadtest` is taken from the second folder.
"""

import argparse
import collections
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
PACKET = 2048
APP_ADDRESS = "10.77.0.1"
REDIS_ADDRESS = "10.77.0.2"
ROWS = ["response_time_p50", "response_time_p99", "cpu_us_per_request", "achieved_per_second"]
PATIENCE = 20


def prctl(option, value):
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def run(*command):
    subprocess.run(command, check=True)


@contextlib.contextmanager
def namespace(name):
    run("ip", "netns", "add", name)
    try:
        run("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "delete", name)


def end_in(name, device, address):
    """One end of the way, as a descriptor that packets are read from and written to."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    run("ip", "link", "set", device, "netns", name)
    run("ip", "netns", "exec", name, "ip", "address", "add", f"{address}/30", "dev", device)
    run("ip", "netns", "exec", name, "ip", "link", "set", device, "txqueuelen", "10000", "up")
    return tun


def packets(tun):
    """What is there now."""
    while True:
        try:
            yield os.read(tun, PACKET)
        except BlockingIOError:
            return


def pass_on(ends, delay):
    """Passes every packet on when it is due, in the order of arrival, until this process is ended."""
    lines = {end: collections.deque() for end in ends}
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    while True:
        now = time.monotonic()
        nearest = None
        for end, line in lines.items():
            while line and line[0][0] <= now:
                # A queue that is full drops it, as a router does.
                with contextlib.suppress(BlockingIOError):
                    os.write(other[end], line[0][1])
                line.popleft()
            if line:
                nearest = min(nearest or line[0][0], line[0][0])
        pause = None if nearest is None else max(nearest - time.monotonic(), 0)
        for end in select.select(ends, [], [], pause)[0]:
            for packet in packets(end):
                lines[end].append((time.monotonic() + delay, packet))


@contextlib.contextmanager
def way(ends, delay):
    """A process that passes packets on."""
    child = os.fork()
    if child == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # In nanoseconds: the usual 50 µs are a tenth of the delays.
        prctl(PR_SET_TIMERSLACK, 1)
        pass_on(ends, delay)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@contextlib.contextmanager
def redis(place, probe):
    command = ["redis-server", "--bind", REDIS_ADDRESS, "--save", "", "--protected-mode", "no"]
    server = subprocess.Popen(
        ["ip", "netns", "exec", place, *command],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    try:
        limit = time.monotonic() + PATIENCE
        while not probe("ping").startswith("PONG"):
            if time.monotonic() > limit:
                sys.exit("redis-server does not answer through the delayed way")
            time.sleep(0.05)
        yield
    finally:
        server.kill()
        server.wait()


def compare(place, arguments, out):
    """Rows of a comparison of both builds, and the verdict."""
    arms = []
    for name, folder in [("before", arguments.before), ("after", arguments.after)]:
        arms += ["--arm", f"{name}={arguments.strategy},bin-dir={folder.resolve()}"]
    found = subprocess.run(
        ["ip", "netns", "exec", place, str(arguments.after.resolve() / "loadtest"), "compare", *arms]
        + ["--rate", str(arguments.rate), "--rounds", str(arguments.rounds), "--no-faults", "--revocations", "0"]
        + ["--redis-url", f"redis://{REDIS_ADDRESS}:6379", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    results = out / "results.json"
    if not results.is_file():
        sys.exit(f"loadtest compare ended with {found.returncode} and without results")
    return json.loads(results.read_text())


def table(delay, round_trip, results):
    values = {}
    for point in results["points"]:
        for metric in ROWS:
            estimate = point["metrics"].get(metric)
            values[point["arm"], metric] = estimate["value"] if estimate else float("nan")
    for metric in ROWS:
        row = next((one for one in results["comparisons"] if one["metric"] == metric and one["candidate"] == "after"), None)
        ratio = "–"
        if row:
            ratio = f"{row['ratio']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}] {row['verdict']}"
        before, after = values.get(("before", metric), 0), values.get(("after", metric), 0)
        print(f"{delay:5g} {round_trip:9.3f}  {metric:22}{before:12.1f}{after:12.1f}  {ratio}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--delays", default="0,0.5,2", help="of a packet in each direction, in ms")
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--strategy", default="session")
    parser.add_argument("--out", type=pathlib.Path, help="where the results of each comparison go")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("network namespaces and TUN devices need root")
    out = arguments.out or pathlib.Path(tempfile.mkdtemp(prefix="nagle-"))
    out.mkdir(parents=True, exist_ok=True)
    # A signal ends it by an exception, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    number = os.getpid()
    with namespace(f"nagle-app-{number}") as app, namespace(f"nagle-redis-{number}") as store:
        ends = [end_in(app, f"na{number}", APP_ADDRESS), end_in(store, f"nr{number}", REDIS_ADDRESS)]

        def probe(*command):
            asked = ["ip", "netns", "exec", app, "redis-cli", "-h", REDIS_ADDRESS, *command]
            return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

        print(f"{arguments.strategy} at {arguments.rate:g} requests/s; ratio: after ÷ before")
        print("delay  round trip  metric                      before       after  ratio [95 % CI]")
        for delay in map(float, arguments.delays.split(",")):
            with way(ends, delay / 1e3), redis(store, probe):
                # Without a terminal: least, most and mean of a second's round trips, in ms.
                round_trip = float(probe("--latency", "-i", "1").split()[2])
                results = compare(app, arguments, out / f"{delay:g}ms")
                table(delay, round_trip, results)
    print(f"results: {out}")


if __name__ == "__main__":
    main()
