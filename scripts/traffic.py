"""Clients that keep connections to several gateways while something is done to the system, and what they notice.

A request failed when it was answered with 4xx or 5xx, or when it was sent and its connection broke. Told apart is a
kept connection that broke before a byte of an answer, as any client sends a GET again then.
"""

import collections
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse
import urllib.request

PATIENCE = 60
CLIENTS = 8
PAUSE = 0.004
# A gateway that is gone without a word is left as soon.
CONNECT_TIMEOUT = 1
ANSWER_TIMEOUT = 10
LOGIN_PAUSE = 0.25
PASSWORD = "correct horse battery staple"


def until(what, ask, patience=PATIENCE):
    """Asks again and again until there is an answer."""
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        found = ask()
        if found:
            return found
        time.sleep(0.02)
    sys.exit(f"never came true: {what}")


def address_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def status_of(url):
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(url, timeout=2).status
    except OSError:
        return 0


def call(url, method, path, body, bearer=None):
    connection = http.client.HTTPConnection(*address_of(url), timeout=ANSWER_TIMEOUT)
    headers = {"content-type": "application/json"}
    if bearer:
        headers["authorization"] = f"Bearer {bearer}"
    connection.request(method, path, json.dumps(body), headers)
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read() or b"{}")


class Client(threading.Thread):
    """Sends one request after the other over a connection that it keeps; goes on to the next gateway when one refuses,
    breaks off, or says that it closes."""

    def __init__(self, gateways, requests, counts, stop, lost, pause=PAUSE):
        super().__init__(daemon=True)
        self.gateways, self.requests, self.counts = gateways, requests, counts
        self.stop, self.lost, self.pause = stop, lost, pause

    def run(self):
        connection, which, kept = None, 0, False
        turn = 0
        while not self.stop.is_set():
            gateway = self.gateways[which]
            following = (which + 1) % len(self.gateways)
            if connection is None:
                try:
                    connection = http.client.HTTPConnection(*gateway, timeout=CONNECT_TIMEOUT)
                    connection.connect()
                    connection.sock.settimeout(ANSWER_TIMEOUT)
                    kept = False
                except OSError:
                    which, connection = following, None
                    self.counts["refused, sent to the next"] += 1
                    continue
            method, path, body, headers = self.requests[turn % len(self.requests)]
            turn += 1
            try:
                connection.request(method, path, body, headers)
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException) as error:
                self.counts[self.broken(gateway, kept, error, f"{method} {path}")] += 1
                connection.close()
                which, connection = following, None
                continue
            good = reply.status < 400
            self.counts["answered" if good else f"FAILED: {reply.status} {method} {path}"] += 1
            kept = True
            if reply.will_close:
                connection.close()
                which, connection = following, None
            time.sleep(self.pause)

    def broken(self, gateway, kept, error, what):
        """What it is called that a connection broke."""
        if gateway[0] in self.lost:
            return "no answer from the gateway that was lost"
        if kept and isinstance(error, http.client.RemoteDisconnected):
            return "kept connection closed"
        return f"FAILED: {error!r} {what}"


def registered(gateway, what):
    """A new user's name and password."""
    user = {"username": f"traffic-{what}-{os.getpid()}", "password": PASSWORD}
    status, found = call(gateway, "POST", "/auth/register", user)
    if status != 201:
        sys.exit(f"registration was answered with {status}: {found}")
    return user


def requests_for(gateway):
    """What the clients send: reads of both strategies; what only the auth-service answers; and logins."""
    # Two users: more than AUTH_LOGINS_PER_USER logins would end the session that is read by.
    user, another = registered(gateway, "reads"), registered(gateway, "logs-in")
    _, token = call(gateway, "POST", "/auth/login", {**user, "credential": "token"})
    _, session = call(gateway, "POST", "/auth/login", {**user, "credential": "session"})
    bearer = {"authorization": f"Bearer {token['access_token']}"}
    of_session = {"authorization": f"Bearer {session['session_id']}"}
    pools = [("GET", "/jwt/me", None, bearer), ("GET", "/session/me", None, of_session)]
    keys = [("GET", "/auth/.well-known/jwks.json", None, {})]
    # Each over a connection of its own: what is not idempotent is not sent again when a kept one was closed.
    alone = {"content-type": "application/json", "connection": "close"}
    kinds = [json.dumps({**another, "credential": kind}) for kind in ("token", "session")]
    logins = [("POST", "/auth/login", body, alone) for body in kinds]
    return pools, keys, logins


def failed_of(counts):
    return sum(count for kind, count in counts.items() if kind.startswith("FAILED"))


def load(gateways, reads, logins, act, lost=(), after=2):
    """The load of all clients while `act` runs and for some seconds after it: what happened to the reads, what happened
    to the logins, and what `act` returned. `lost` has the hosts of gateways that `act` cuts off."""
    counts, stop = (collections.Counter(), collections.Counter()), threading.Event()
    clients = [Client(gateways, reads, counts[0], stop, lost) for _ in range(CLIENTS)]
    if logins:
        clients.append(Client(gateways, logins, counts[1], stop, lost, LOGIN_PAUSE))
    for client in clients:
        client.start()
    time.sleep(1)
    try:
        found = act()
        time.sleep(after)
    finally:
        stop.set()
        for client in clients:
            client.join()
    return counts[0], counts[1], found
