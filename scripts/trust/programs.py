"""The programs that are run: ours, the targets that are measured, and the load generators of others."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

PATIENCE = 60
# No command here takes longer; one that hangs must not keep the rest from being told.
LONGEST = 600
EXIT_CODES = {"VALID": 0, "INVALID": 3, "DISTURBED": 3, "OVERLOADED": 4, "INCONCLUSIVE": 4}


class Failed(Exception):
    """A program did not do what it was started for."""


class Programs:
    """Our programs in `folder`, what they write in `work`, and those of others, None where they are not found."""

    def __init__(self, folder, work):
        self.loadtest = os.path.join(folder, "loadtest")
        self.work = work
        self.wrk = os.environ.get("WRK") or shutil.which("wrk")
        self.wrk2 = os.environ.get("WRK2") or shutil.which("wrk2")
        self.oha = os.environ.get("OHA") or shutil.which("oha")

    @contextlib.contextmanager
    def target(self, delays_ms=()):
        """A server whose latencies are these, in turn; without any it answers at once."""
        delays = [f"{round(delay * 1e6)}ns" for delay in delays_ms]
        arguments = ["target", *(["--delay", ",".join(delays)] if delays else [])]
        with ended(subprocess.Popen([self.loadtest, *arguments], stdout=subprocess.PIPE, text=True)) as child:
            yield Target(child)

    @contextlib.contextmanager
    def stack(self, *strategies):
        """A whole system; gives the URL of its gateway."""
        ready = os.path.join(self.work, "ready.json")
        log_path = os.path.join(self.work, "stack.log")
        with contextlib.suppress(FileNotFoundError):
            os.remove(ready)
        command = [self.loadtest, "stack", "up", "--ready-file", ready]
        for strategy in strategies:
            command += ["--strategy", strategy]
        with open(log_path, "w") as log, ended(subprocess.Popen(command, stdout=log, stderr=log)) as child:
            deadline = time.monotonic() + PATIENCE
            while not os.path.exists(ready):
                if child.poll() is not None or time.monotonic() > deadline:
                    with open(log_path) as said:
                        raise Failed(f"the system is not ready:\n{said.read()}")
                time.sleep(0.05)
            with open(ready) as file:
                yield json.load(file)["gateway"]

    def compare(self, arms, rate, seed, rounds=7, around=contextlib.nullcontext):
        """`loadtest compare` of arguments like ["--strategy", "jwt"]; `around` is given the process while it runs."""
        out = os.path.join(self.work, "compare")
        shutil.rmtree(out, ignore_errors=True)
        arguments = ["--quick", "--no-faults", "--revocations", "0", "--rate", str(rate), "--rounds", str(rounds)]
        command = [self.loadtest, "compare", *arguments, "--seed", str(seed), "--out", out, *arms]
        with open(os.path.join(self.work, "compare.log"), "w+") as log:
            with ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)) as child:
                with around(child):
                    code = child.wait(LONGEST)
            try:
                with open(os.path.join(out, "results.json")) as file:
                    results = json.load(file)
            except FileNotFoundError:
                log.seek(0)
                raise Failed(f"loadtest compare ended with {code}:\n{log.read()}") from None
        if EXIT_CODES[results["validity"]] != code:
            raise Failed(f"loadtest compare ended with {code} and called the run {results['validity']}")
        return results

    def run(self, url, seconds, *arguments, around=contextlib.nullcontext):
        """What `loadtest run` of an open or closed loop measured."""
        out = os.path.join(self.work, "run.json")
        command = [self.loadtest, "run", "--url", url, "--duration", f"{seconds}s", "--warmup", "0s", "--out", out]
        with ended(subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)) as child:
            with around(child):
                said, _ = child.communicate(timeout=LONGEST)
        # 3: it was late. That is judged by what it measured, beside what was there.
        if child.returncode not in (0, 3):
            raise Failed(f"loadtest run ended with {child.returncode}:\n{said}")
        with open(out) as file:
            return json.load(file)

    def wrk_per_second(self, url, connections, seconds, header):
        """Answers per second of wrk's closed loop."""
        said = output([self.wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-H", header, url])
        if "Non-2xx" in said or "Socket errors" in said:
            raise Failed(f"wrk had failures:\n{said}")
        return float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])

    def wrk2_percentiles(self, url, rate, connections, seconds):
        """p50, p90 and p99 in µs of wrk2's open loop. Its first ten seconds are not in them."""
        command = [self.wrk2, "-t1", f"-c{connections}", f"-d{seconds + 10}s", f"-R{rate}", "--latency", url]
        said = output(command)
        unit = {"us": 1, "ms": 1e3, "s": 1e6}

        def percentile(name):
            value, suffix = re.search(rf"^\s*{name}\.000%\s+([\d.]+)(us|ms|s)", said, re.MULTILINE).groups()
            return float(value) * unit[suffix]

        return [percentile(name) for name in (50, 90, 99)]

    def oha_percentiles(self, url, rate, connections, seconds):
        """p50, p90 and p99 in µs of oha's open loop."""
        command = [self.oha, "--no-tui", "--output-format", "json", "--latency-correction", "-q", str(rate)]
        told = json.loads(output([*command, "-c", str(connections), "-z", f"{seconds}s", url]))
        return [told["latencyPercentiles"][name] * 1e6 for name in ("p50", "p90", "p99")]


class Target:
    """A running target."""

    def __init__(self, child):
        self.child = child
        self.url = child.stdout.readline().strip()

    def arm(self, name):
        return ["--arm", f"{name}=url={self.url}"]

    def took(self):
        """Ends it; what serving took by its own record, as the latencies of `loadtest run` are written."""
        self.child.send_signal(signal.SIGTERM)
        return json.loads(self.child.communicate(timeout=PATIENCE)[0])


@contextlib.contextmanager
def ended(child):
    """Ends a process whatever happens; one that was stopped by a signal too."""
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            child.send_signal(signal.SIGCONT)
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST).stdout


@contextlib.contextmanager
def meanwhile(what):
    """Does it in a thread until it is done, or until the event that it is given is set."""
    over = threading.Event()
    thread = threading.Thread(target=what, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def frozen(child, after, seconds):
    """Stops a process once; gives a list in which stands afterwards how long that was."""
    lasted = []

    def freeze(over):
        over.wait(after)
        child.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        over.wait(seconds)
        lasted.append(time.monotonic() - began)
        child.send_signal(signal.SIGCONT)

    with meanwhile(freeze):
        yield lasted


@contextlib.contextmanager
def halting(child):
    """Stops a process for 30 ms of each 60, as a debugger or the freezer of a container does."""

    def halt(over):
        while not over.wait(0.03):
            child.send_signal(signal.SIGSTOP)
            over.wait(0.03)
            child.send_signal(signal.SIGCONT)

    with meanwhile(halt):
        yield


@contextlib.contextmanager
def busy_loops(_child):
    """Two processes for each processor that do nothing but use it, from the time when users are logged in."""

    def work(over):
        with contextlib.ExitStack() as loops:
            over.wait(5)
            for _ in range(2 * (os.cpu_count() or 1)):
                loops.enter_context(ended(subprocess.Popen(["sh", "-c", "while :; do :; done"])))
            over.wait()

    with meanwhile(work):
        yield


def credentials(gateway):
    """A header field for each of jwt and session, of a new user."""
    user = {"username": f"trust-{secrets.token_hex(6)}", "password": secrets.token_urlsafe(16)}

    def post(path, body):
        request = urllib.request.Request(
            f"{gateway}/auth/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    post("register", user)
    token = post("login", {**user, "credential": "token"})["access_token"]
    session = post("login", {**user, "credential": "session"})["session_id"]
    return {"jwt": f"Authorization: Bearer {token}", "session": f"Authorization: Bearer {session}"}
