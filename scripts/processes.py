"""Starts our programs and others for the scripts that hold them to libraries of others, and asks them."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(command, ready, **variables):
    """One of the programs, from its first good answer to the end of the block."""
    environment = {"PATH": os.environ["PATH"], "RUST_LOG": "warn", **variables}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE
            while not ready():
                if child.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"foreign: {command[0]} is not ready:\n{log.read().decode(errors='replace')}")
                time.sleep(0.02)
            yield
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()


def request(port, method, path, body=None, token=None):
    """The status and the JSON of an answer; (0, None) when nobody answers."""
    headers = {"content-type": "application/json"} if body is not None else {}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()
    except OSError:
        return 0, None
    finally:
        connection.close()


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
