#!/usr/bin/env python3
"""Sends the tour of docs/traces.md to a real Jaeger and holds what it then has to what the tour says.

usage: jaeger-tour.py FOLDER-OF-OUR-PROGRAMS [--idle SECONDS] [--pictures FOLDER]; needs redis-server and what
build-jaeger.sh needs; for pictures also chromium, chromedriver and selenium. `make test-jaeger` runs it.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from jaeger import PATIENCE, STRATEGIES, free_port, jaeger, running, system
from traffic import until

PASSWORD = "correct horse battery staple"
PROBES = ("/healthz", "/readyz", "/metrics")
REQUIRED = {
    "client": ("http.request.method", "url.full", "server.address", "server.port"),
    "server": ("http.request.method", "url.path", "url.scheme", "server.address", "server.port"),
}
checks = 0


def check(right, what):
    """Counts a check, and ends the program at the first that fails."""
    global checks
    checks += 1
    if not right:
        sys.exit(f"jaeger-tour: {what}")


class Client:
    """Begins traces, and sends its own span of each, as whoever begins one should."""

    def __init__(self, gateway, collector):
        parts = urllib.parse.urlsplit(gateway)
        self.host, self.port, self.collector = parts.hostname, parts.port, collector

    def ask(self, method, path, body=None, bearer=None):
        """Status, JSON and trace id of one request."""
        trace, span = secrets.token_hex(16), secrets.token_hex(8)
        headers = {"traceparent": f"00-{trace}-{span}-01"}
        if body is not None:
            headers["content-type"] = "application/json"
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        began = time.time_ns()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        self.tell(trace, span, method, path, answer.status, (began, time.time_ns()))
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else None, trace

    def tell(self, trace, span, method, path, status, when):
        def attribute(key, value):
            kind = "intValue" if isinstance(value, int) else "stringValue"
            return {"key": key, "value": {kind: str(value)}}

        own = {
            "traceId": trace,
            "spanId": span,
            "name": method,
            "kind": 3,
            "startTimeUnixNano": str(when[0]),
            "endTimeUnixNano": str(when[1]),
            "attributes": [
                attribute("http.request.method", method),
                attribute("url.full", f"http://{self.host}:{self.port}{path}"),
                attribute("server.address", self.host),
                attribute("server.port", self.port),
                attribute("http.response.status_code", status),
            ],
        }
        resource = {"attributes": [attribute("service.name", "tour"), attribute("service.namespace", "statewise")]}
        spans = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [own]}]}]}
        request = urllib.request.Request(
            f"{self.collector}/v1/traces", json.dumps(spans).encode(), {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def log_in(self, name, credential):
        body = {"username": name, "password": PASSWORD, "credential": credential}
        status, answer, trace = self.ask("POST", "/auth/login", body)
        check(status == 200, f"a login is answered with {status}: {answer}")
        return answer, trace


class Tour:
    """What was sent, by its name in docs/traces.md, and what Jaeger must then have of it."""

    def __init__(self, own, stack, client):
        self.own, self.stack, self.client = own, stack, client
        self.stops = {}
        self.pid = {process["name"]: process["pid"] for process in stack["processes"]}

    def stop(self, name, trace, *wanted, absent=()):
        """The trace of a stop of the tour; it must come to have these (service, span name) and not those."""

        def complete():
            spans = self.own.trace(trace)
            has = {(span.service, span.name) for span in spans}
            return spans if all(one in has for one in wanted) else None

        spans = until(f"{name}: {wanted}, and it is {[(s.service, s.name) for s in self.own.trace(trace)]}", complete)
        for one in absent:
            check(one not in {(span.service, span.name) for span in spans}, f"{name} has {one}")
        self.stops[name] = trace
        return spans


def found(spans, service, name):
    return next(span for span in spans if (span.service, span.name) == (service, name))


def requests_of_each_strategy(tour, token, session):
    checked = {}
    for strategy in STRATEGIES:
        bearer = token if strategy.startswith("jwt") else session
        status, answer, trace = tour.client.ask("GET", f"/{strategy}/me", bearer=bearer)
        check(status == 200, f"/{strategy}/me is answered with {status}: {answer}")
        pool = f"api-{strategy}"
        wanted = [("tour", "GET"), ("gateway", f"GET /{strategy}/*"), (pool, "GET /me"), (pool, "verify credential")]
        more = {
            "session": [(pool, "HMGET")],
            "introspection": [(pool, "POST /oauth/introspect"), ("auth-service", "POST /oauth/introspect")],
            "phantom": [("auth-service", "POST /oauth/token")],
        }
        spans = tour.stop(strategy, trace, *wanted, *more.get(strategy, []))
        checked[strategy] = found(spans, pool, "verify credential").tags
        check(checked[strategy]["statewise.auth.outcome"] == "valid", f"{strategy}: {checked[strategy]}")
        check(not any("error.type" in span.tags for span in spans), f"{strategy}: something is red")
    check(checked["jwt"]["statewise.auth.signature.remembered"] is False, f"jwt: {checked['jwt']}")
    check("statewise.auth.key.id" in checked["phantom"], f"phantom: {checked['phantom']}")
    check(checked["jwt-revocable"]["statewise.auth.revocations.age"] < 60, f"{checked['jwt-revocable']}")


def what_is_revoked(tour):
    """The last request of a credential that is revoked, at who is told and at who cannot know."""
    answer, _ = tour.client.log_in("ada", "session")
    session = answer["session_id"]
    until("the session is in memory", lambda: cached(tour, session))
    status, _, _ = tour.client.ask("POST", "/auth/logout", bearer=session)
    check(status in (200, 204), f"a logout is answered with {status}")
    until("it is refused", lambda: tour.client.ask("GET", "/session-cached/me", bearer=session)[0] == 401)
    status, _, trace = tour.client.ask("GET", "/session-cached/me", bearer=session)
    check(status == 401, f"a revoked session is answered with {status}")
    spans = tour.stop("revoked", trace, ("api-session-cached", "verify credential"), ("api-session-cached", "HMGET"))
    said = found(spans, "api-session-cached", "verify credential").tags
    check(said["statewise.auth.outcome"] != "valid", f"revoked: {said}")
    check(not any(span.tags.get("error") for span in spans), "revoked: a refusal is red")


def cached(tour, session):
    _, _, trace = tour.client.ask("GET", "/session-cached/me", bearer=session)
    spans = tour.stop("cached", trace, ("api-session-cached", "verify credential"), ("tour", "GET"))
    said = found(spans, "api-session-cached", "verify credential").tags
    return said["statewise.auth.session.cached"]


def redis_hangs(tour, session):
    os.kill(tour.pid["redis"], signal.SIGSTOP)
    try:
        status, _, trace = tour.client.ask("GET", "/session/me", bearer=session)
    finally:
        os.kill(tour.pid["redis"], signal.SIGCONT)
    check(status == 503, f"with a hung Redis it is {status}")
    spans = tour.stop("redis-hung", trace, ("api-session", "HMGET"), ("api-session", "verify credential"),
                      ("api-session", "GET /me"))
    check(found(spans, "api-session", "HMGET").tags["error.type"] == "timeout", "the reason is a timeout")
    outcome = found(spans, "api-session", "verify credential").tags["statewise.auth.outcome"]
    check(outcome == "undecidable", f"the verdict is {outcome}")


def a_replica_is_gone(tour, token):
    os.kill(tour.pid["api-jwt-1"], signal.SIGKILL)
    # At once, before a health check finds out: each has an even chance to meet it.
    traces = [tour.client.ask("GET", "/jwt/me", bearer=token)[2] for _ in range(12)]
    for trace in traces:
        spans = tour.stop("retry", trace, ("api-jwt", "verify credential"), ("gateway", "GET /jwt/*"))
        attempts = [span for span in spans if (span.service, span.name) == ("gateway", "GET jwt")]
        if len(attempts) == 2:
            first, second = sorted(attempts, key=lambda span: span.began_us)
            check(first.tags.get("error.type") in ("connect", "lost", "unsent"), f"the first attempt: {first.tags}")
            check(second.tags["http.request.resend_count"] == 1, f"the second attempt: {second.tags}")
            return
    check(False, "of 12 requests none met the replica that is gone")


def load_begins_traces(tour, programs):
    url = f"{tour.stack['gateway']}/jwt/me"
    command = [os.path.join(programs, "loadtest"), "run", "--url", url, "--login", "jwt", "--rate", "50"]
    command += ["--duration", "2s", "--warmup", "0s", "--trace-ratio", "0.2", "--trace-endpoint", tour.own.otlp]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    check(" lost" in ended.stdout and ", 0 lost" in ended.stdout, f"{command}:\n{ended.stdout}{ended.stderr}")
    found = until("the spans of the load generator",
                  lambda: tour.own.get("/api/traces", service="loadtest", limit=100, lookback="1h"))
    tour.stops["load"] = found[0]["traceID"]


def collector_that_takes_nothing(own, programs, folder):
    """The commonest mistake: HTTP to the port of gRPC."""
    port = free_port()
    log = os.path.join(folder, "mistaken.log")
    variables = {
        "API_STRATEGY": "jwt", "API_LISTEN": f"127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_EXPORTER_OTLP_ENDPOINT": own.grpc,
    }

    def get(path):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.read().decode()
        return ""

    def lost():
        get("/public")
        return any(line.startswith('statewise_spans_lost_total{reason="not_taken"} ') and not line.endswith(" 0")
                   for line in get("/metrics").splitlines())

    with running([os.path.join(programs, "api-service")], lambda: get("/public"), log, variables):
        until("lost spans are counted", lost)
        time.sleep(0.5)
        with open(log) as file:
            told = [line for line in file if "the collector of spans at" in line]
    check(len(told) == 1, f"it is told once: {told}")
    print(f"a collector that speaks gRPC: {told[0].strip()}")


def idle(own, stack, seconds):
    """Left alone, while it is asked again and again how it is."""
    began = time.monotonic()
    replicas = [url for pool in stack["pools"].values() for url in pool]

    def probed():
        counts = [probes(url) for url in replicas]
        return min(counts) >= 10 and time.monotonic() - began >= seconds

    while not probed():
        check(time.monotonic() - began < seconds + PATIENCE, "the replicas are not asked how they are")
        time.sleep(0.2)
    # Longer than a span takes from its end to Jaeger.
    time.sleep(1)
    traces = own.traces()
    check(not traces, f"a system that was left alone made {len(traces)} traces: {list(traces.values())[:2]}")
    asked = sum(probes(url) for url in replicas)
    print(f"left alone for {time.monotonic() - began:.0f} s: {asked} probes answered, 0 traces")


def probes(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    counts = [line.rsplit(" ", 1)[1] for line in lines
              if line.startswith("http_server_request_duration_seconds_count") and 'http_route="/readyz"' in line]
    return sum(int(count) for count in counts)


def look(own):
    """What a person would see: nothing that is no trace of a person."""
    from jaeger import Span

    traces = {key: [Span(span, trace["processes"]) for span in trace["spans"]] for key, trace in own.traces().items()}
    kinds = collections.Counter()
    for spans in traces.values():
        known = {span.id for span in spans}
        for span in spans:
            of = f"{span.service} {span.name} of trace {span.trace}"
            kind = span.tags.get("span.kind", "internal")
            kinds[span.service, kind, span.name] += 1
            check(all(parent in known for parent in span.parents), f"an orphan: {of}")
            check(not span.warnings, f"Jaeger warns of {of}: {span.warnings}")
            is_probe = span.tags.get("http.route") in PROBES or span.tags.get("url.path") in PROBES
            check(not is_probe or span.tags.get("error"), f"a probe that did not fail: {of}")
            if "http.request.method" in span.tags:
                for name in REQUIRED[kind]:
                    check(name in span.tags, f"{name} is missing in {of}: {span.tags}")
                answered = "http.response.status_code" in span.tags or "error.type" in span.tags
                check(answered, f"neither a status nor an error: {of}")
            if span.service not in ("tour", "loadtest"):
                for name in ("service.instance.id", "service.version", "host.name", "deployment.environment.name"):
                    check(name in span.process, f"{name} is missing in the process of {of}: {span.process}")
            check(span.process.get("service.namespace") == "statewise", f"the namespace of {of}")
    print(f"{len(traces)} traces")
    for (service, kind, name), count in sorted(kinds.items()):
        print(f"  {count:6} {service:20} {kind:9} {name}")
    return {service for service, _, _ in kinds}


def graph(own):
    """Who calls whom, as the page of the architecture shows it."""
    edges = own.get("/api/dependencies", endTs=int(time.time() * 1000), lookback=3_600_000)
    edges = {(edge["parent"], edge["child"]) for edge in edges if edge["parent"] != edge["child"]}
    wanted = {("tour", "gateway"), ("loadtest", "gateway"), ("gateway", "auth-service")}
    wanted |= {("gateway", f"api-{strategy}") for strategy in STRATEGIES}
    wanted |= {("api-introspection", "auth-service")}
    check(wanted == edges, f"the graph: {sorted(edges ^ wanted)} are missing or too many")
    print("who calls whom: " + ", ".join(f"{parent} → {child}" for parent, child in sorted(edges)))


def pictures(tour, folder, pages):
    """Of each stop, of the search and of the graph, by a real browser."""
    from chromium import browser

    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, browser(profile, "1000,620") as driver:
        for name, address in pages.items():
            driver.get(address)
            # The page asks for its data, and draws what comes.
            time.sleep(2.5)
            driver.save_screenshot(os.path.join(folder, f"{name}.png"))
    print(f"{len(pages)} pictures in {folder}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("--idle", type=float, default=0)
    parser.add_argument("--pictures")
    asked = parser.parse_args()
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        own = opened.enter_context(jaeger(folder, with_page=asked.pictures is not None))
        stack = opened.enter_context(
            system(asked.programs, folder, own.otlp, STRATEGIES, "--replicas", "2"))
        idle(own, stack, asked.idle)
        client = Client(stack["gateway"], own.otlp)
        tour = Tour(own, stack, client)
        status, answer, _ = client.ask("POST", "/auth/register", {"username": "ada", "password": PASSWORD})
        check(status == 201, f"a registration is answered with {status}: {answer}")
        login, trace = client.log_in("ada", "token")
        tour.stop("login", trace, ("auth-service", "POST /login"), ("auth-service", "verify password"))
        token = login["access_token"]
        login, trace = client.log_in("ada", "session")
        tour.stop("login-session", trace, ("auth-service", "POST /login"), ("auth-service", "EVAL"))
        requests_of_each_strategy(tour, token, login["session_id"])
        what_is_revoked(tour)
        load_begins_traces(tour, asked.programs)
        redis_hangs(tour, login["session_id"])
        a_replica_is_gone(tour, token)
        collector_that_takes_nothing(own, asked.programs, folder)
        # All of it is there when nothing more comes.
        time.sleep(1)
        services = look(own)
        wanted = {"tour", "loadtest", "gateway", "auth-service", *(f"api-{strategy}" for strategy in STRATEGIES)}
        check(services == wanted, f"the services: {sorted(services ^ wanted)} are missing or too many")
        graph(own)
        if asked.pictures:
            pages = {name: f"{own.url}/trace/{trace}" for name, trace in tour.stops.items()}
            pages["search"] = own.link(service="gateway")
            pages["graph"] = f"{own.url}/dependencies"
            pictures(tour, asked.pictures, pages)
    print(f"jaeger-tour: {checks} checks, all passed")


main()
