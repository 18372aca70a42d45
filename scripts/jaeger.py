"""A real Jaeger v2 and a system of ours that sends it everything, for the scripts that look at traces.

usage: jaeger.py FOLDER-OF-OUR-PROGRAMS [STRATEGY...]: starts both, on free ports, until Ctrl-C. `make jaeger` runs it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from processes import free_port

STRATEGIES = ["jwt", "session", "session-cached", "jwt-revocable", "introspection", "phantom"]
PATIENCE = 60
# Of what is kept in memory, so that a day of looking at single requests fits.
MOST_TRACES = 100_000
HERE = os.path.dirname(os.path.abspath(__file__))

CONFIGURATION = """
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {{ receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter] }}
  telemetry:
    logs: {{ level: warn }}
    metrics: {{ level: none }}
extensions:
  healthcheckv2:
    use_v2: true
    http: {{ endpoint: "127.0.0.1:{health}" }}
  jaeger_query:
    storage: {{ traces: memory }}
    {page}
    http: {{ endpoint: "127.0.0.1:{query}" }}
    grpc: {{ endpoint: "127.0.0.1:{query_grpc}" }}
  jaeger_storage:
    backends:
      memory: {{ memory: {{ max_traces: {most} }} }}
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{grpc}" }}
      http: {{ endpoint: "127.0.0.1:{otlp}" }}
processors:
  batch: {{ timeout: 100ms }}
exporters:
  jaeger_storage_exporter: {{ trace_storage: memory }}
"""


class Jaeger:
    """Where a Jaeger takes spans and is asked."""

    def __init__(self, otlp, grpc, query):
        self.otlp = f"http://127.0.0.1:{otlp}"
        # HTTP is not spoken there, which is tried too.
        self.grpc = f"http://127.0.0.1:{grpc}"
        self.url = f"http://127.0.0.1:{query}"

    def get(self, path, **query):
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def traces(self):
        """All that it has, by trace id."""
        found = {}
        for service in self.get("/api/services") or []:
            for trace in self.get("/api/traces", service=service, limit=MOST_TRACES, lookback="1h"):
                found[trace["traceID"]] = trace
        return found

    def trace(self, trace_id):
        """The spans of one; an empty list when it has none."""
        try:
            found = self.get(f"/api/traces/{trace_id}")
        except urllib.error.HTTPError:
            return []
        return [Span(span, found[0]["processes"]) for span in found[0]["spans"]] if found else []

    def link(self, **query):
        """What a person opens to find these."""
        return f"{self.url}/search?{urllib.parse.urlencode({'lookback': '1h', 'limit': 20, **query})}"


class Span:
    """One span as Jaeger has it."""

    def __init__(self, span, processes):
        process = processes[span["processID"]]
        self.id = span["spanID"]
        self.trace = span["traceID"]
        self.service = process["serviceName"]
        self.process = {tag["key"]: tag["value"] for tag in process["tags"]}
        self.name = span["operationName"]
        self.tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        self.parents = [one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"]
        self.warnings = span.get("warnings") or []
        self.took_us = span["duration"]
        self.began_us = span["startTime"]


@contextlib.contextmanager
def running(command, is_ready, log, environment=None):
    """A program from when it is ready to the end of the block."""
    with open(log, "w+") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
        try:
            limit = time.monotonic() + PATIENCE
            while not is_ready():
                if child.poll() is not None or time.monotonic() > limit:
                    output.seek(0)
                    sys.exit(f"jaeger: {command[0]} is not ready:\n{output.read()}")
                time.sleep(0.05)
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def jaeger(folder, with_page=False):
    """A Jaeger of our own, which ends with the block."""
    build = [os.path.join(HERE, "build-jaeger.sh")] + (["page"] if with_page else [])
    program = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    pages = sorted(entry.path for entry in os.scandir(os.path.dirname(program)) if entry.name.startswith("page-v"))
    ports = {name: free_port() for name in ("health", "query", "query_grpc", "grpc", "otlp")}
    page = f"ui: {{ assets_path: {json.dumps(pages[-1])} }}" if with_page and pages else ""
    file = os.path.join(folder, "jaeger.yaml")
    with open(file, "w") as configuration:
        configuration.write(CONFIGURATION.format(page=page, most=MOST_TRACES, **ports))
    own = Jaeger(ports["otlp"], ports["grpc"], ports["query"])
    ready = f"http://127.0.0.1:{ports['health']}/status"
    with running([program, "--config", file], lambda: answers(ready), os.path.join(folder, "jaeger.log")):
        yield own


@contextlib.contextmanager
def system(programs, folder, collector, strategies, *options):
    """A system of ours that sends every span there soon; what its ready file says."""
    ready = os.path.join(folder, "stack.json")
    command = [os.path.join(programs, "loadtest"), "stack", "up", "--ready-file", ready, *options]
    for strategy in strategies:
        command += ["--strategy", strategy]
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    log = os.path.join(folder, "stack.log")
    with running(command, lambda: os.path.exists(ready), log, variables):
        with open(ready) as file:
            yield json.load(file)


def main():
    programs, strategies = sys.argv[1], sys.argv[2:] or STRATEGIES
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory() as folder, jaeger(folder, with_page=True) as own:
        with system(programs, folder, own.otlp, strategies, "--replicas", "2") as stack:
            print(f"jaeger:  {own.url}    every request is a trace; what to look for is in docs/traces.md")
            print(f"gateway: {stack['gateway']}    /auth, and /{', /'.join(strategies)}")
            print(f"OTEL_EXPORTER_OTLP_ENDPOINT={own.otlp} has `loadtest run --trace-ratio` send its own spans there too")
            print("Ctrl-C ends both", flush=True)
            ended.wait()


if __name__ == "__main__":
    main()
