#!/usr/bin/env python3
"""Holds the OAuth side to libraries that are not ours, in both directions.

Theirs before our auth-service: openid-client, oauth4webapi, jose and passport-oauth2 (Node.js), and authlib log a user
in, call the APIs of both kinds, renew and revoke. Ours behind theirs: oidc-provider issues tokens, and the api-service
takes them by `jwt` and by `introspection`, and refuses what is not for it. Prints a table.
usage: foreign-oauth.py FOLDER-OF-OUR-PROGRAMS; needs redis-server, node and npm. `make foreign` runs it.
"""

import base64
import contextlib
import html
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from authlib.integrations.requests_client import OAuth2Session
from processes import connects, free_port, process, request

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foreign-oauth")
AUDIENCE = "statewise-api"
ELSEWHERE = "https://other.example"
STEPS = ["discover", "log in", "call", "refresh", "call again", "verify", "revoke"]
ALGORITHMS = ["RS256", "RS512", "PS256", "ES256", "ES384", "Ed25519"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A browser that says where it is sent."""

    def redirect_request(self, *_):
        return None


def node_modules():
    """Installs what package-lock.json lists, once for each version of it, and returns the folder."""
    lock = os.path.join(HERE, "package-lock.json")
    target = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "node-foreign-oauth")
    done = os.path.join(target, "installed.json")
    with open(lock, "rb") as file:
        wanted = file.read()
    if not os.path.exists(done) or open(done, "rb").read() != wanted:
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), target)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=target, check=True)
        shutil.copy(lock, done)
    # Modules are looked for beside the program that imports them.
    for name in ("clients.mjs", "provider.mjs"):
        shutil.copy(os.path.join(HERE, name), target)
    return target


def api(stack, programs, strategy, **variables):
    """A replica of the api-service until the stack ends: its port."""
    port = free_port()
    stack.enter_context(
        process(
            [os.path.join(programs, "api-service")],
            lambda: request(port, "GET", "/readyz")[0] == 200,
            API_STRATEGY=strategy,
            API_LISTEN=f"127.0.0.1:{port}",
            **variables,
        )
    )
    return port


def start_ours(stack, programs, redis, clients):
    """The auth-service with both APIs behind a gateway; the gateway's URL."""
    gate, auth = free_port(), free_port()
    issuer = f"http://127.0.0.1:{gate}/auth"
    web, app = clients["web"], clients["app"]
    asking = secrets.token_urlsafe(32)
    stack.enter_context(
        process(
            [os.path.join(programs, "auth-service")],
            lambda: request(auth, "GET", "/readyz")[0] == 200,
            AUTH_LISTEN=f"127.0.0.1:{auth}",
            AUTH_DATA_DIR=stack.enter_context(tempfile.TemporaryDirectory()),
            AUTH_ISSUER=issuer,
            AUTH_REDIS_URL=f"redis://127.0.0.1:{redis}",
            AUTH_CLIENTS=f"{web['id']}:{web['secret']}:code,api:{asking}:introspect",
            AUTH_REDIRECT_URIS=f"{web['id']}={web['redirect']}",
            AUTH_PUBLIC_CLIENTS=f"{app['id']}={app['redirect']}",
            AUTH_ARGON2_MEMORY_KIB="1024",
            AUTH_ARGON2_ITERATIONS="1",
        )
    )
    at = f"http://127.0.0.1:{auth}"
    jwt = api(stack, programs, "jwt", API_ISSUER=issuer, API_JWKS_URL=f"{at}/.well-known/jwks.json")
    introspection = api(
        stack,
        programs,
        "introspection",
        API_ISSUER=issuer,
        API_INTROSPECTION_URL=f"{at}/oauth/introspect",
        API_CLIENT_ID="api",
        API_CLIENT_SECRET=asking,
    )
    known = ["oauth-authorization-server", "openid-configuration"]
    routes = ["/auth=auth", "/jwt=jwt", "/introspection=introspection"]
    routes += [f"/.well-known/{name}=auth/.well-known/{name}" for name in known]
    pools = {"auth": auth, "jwt": jwt, "introspection": introspection}
    stack.enter_context(
        process(
            [os.path.join(programs, "gateway")],
            lambda: request(gate, "GET", "/introspection/me")[0] == 401 and request(gate, "GET", "/jwt/me")[0] == 401,
            GATEWAY_LISTEN=f"127.0.0.1:{gate}",
            GATEWAY_ADMIN_LISTEN=f"127.0.0.1:{free_port()}",
            GATEWAY_ROUTES=",".join(routes),
            GATEWAY_POOLS=";".join(f"{name}=127.0.0.1:{port}" for name, port in pools.items()),
        )
    )
    return f"http://127.0.0.1:{gate}"


def browse(url, user):
    """Opens the form, fills it in, and says where the browser is sent."""
    with urllib.request.urlopen(url) as answer:
        form = answer.read().decode()
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    fields = {name: html.unescape(value) for name, value in hidden}
    body = urllib.parse.urlencode({**fields, **user}).encode()
    try:
        urllib.request.build_opener(NoRedirect).open(urllib.parse.urljoin(url, "authorize"), body)
    except urllib.error.HTTPError as answer:
        if answer.code == 303:
            return answer.headers["location"]
        raise
    raise ValueError("nobody was sent anywhere")


def authlib_steps(issuer, apis, web, user):
    """Each step of authlib, an application with a secret; yields its name before it is done."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    session = OAuth2Session(
        web["id"],
        web["secret"],
        scope="openid profile roles",
        redirect_uri=web["redirect"],
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic",
    )

    def call():
        for url in apis:
            me = session.get(url)
            assert me.status_code == 200 and me.json()["roles"] == ["user"], f"{url}: {me.status_code} {me.text}"

    yield "discover"
    # As its documentation has it for other servers: the metadata are read from the issuer.
    with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration") as answer:
        server = json.load(answer)
    assert server["issuer"] == issuer, server
    yield "log in"
    verifier = secrets.token_urlsafe(48)
    url, state = session.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier)
    back = browse(url, user)
    token = session.fetch_token(server["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
    assert token["scope"] == "api profile roles", token
    yield "call"
    call()
    yield "refresh"
    session.refresh_token(server["token_endpoint"], token["refresh_token"])
    yield "call again"
    call()
    yield "revoke"
    answer = session.revoke_token(server["revocation_endpoint"], session.token["refresh_token"])
    assert answer.status_code == 200, answer.text
    asking = next(url for url in apis if "introspection" in url)
    after = session.get(asking).status_code
    assert after == 401, f"{asking} answered {after} to a revoked token"


def run_authlib(*arguments):
    outcomes, steps = {}, authlib_steps(*arguments)
    name = None
    while True:
        try:
            following = next(steps)
        except StopIteration:
            outcomes[name] = None
            return outcomes
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its step's fault
            outcomes[name] = f"{type(error).__name__}: {error}"
            return outcomes
        if name is not None:
            outcomes[name] = None
        name = following


def run_node(modules, settings):
    command = ["node", os.path.join(modules, "clients.mjs"), json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    outcomes = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        outcomes.setdefault(one["library"], {})[one["step"]] = one["fault"]
    if not outcomes:
        sys.exit(f"foreign: the clients did not run:\n{done.stderr}")
    return outcomes


def wait_for_published_revocations(port, user):
    """The first seconds of the feed: a revocation is answered 202 until it is there, which RFC 7009 does not know."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    for _ in range(300):
        status, login = request(port, "POST", "/auth/login", {**user, "credential": "token"})
        if status != 200:
            sys.exit(f"foreign: login: {status} {login}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/auth/oauth/revoke", f"token={login['refresh_token']}", form)
        if connection.getresponse().status == 200:
            return
        time.sleep(0.05)
    sys.exit("foreign: no revocation is published")


def check_our_own_discovery(stack, programs, issuer, port, user):
    """Our API finds the keys of our auth-service as it finds any other's."""
    finding = api(stack, programs, "jwt", API_ISSUER=issuer, API_JWKS_URL="discover")
    status, login = request(port, "POST", "/auth/login", {**user, "credential": "token"})
    if status != 200:
        sys.exit(f"foreign: login: {status} {login}")
    status, body = request(finding, "GET", "/me", token=login["access_token"])
    if status != 200:
        sys.exit(f"foreign: discovered keys of our own: {status} {body}")


def theirs_before_ours(programs, redis, modules):
    clients = {
        # As `openssl rand -base64 32` makes them, with every character that has to be encoded.
        "web": {
            "id": "web",
            "secret": "+/" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "redirect": "http://127.0.0.1:51003/back",
        },
        "app": {"id": "app", "redirect": "http://127.0.0.1:51001/back"},
    }
    with contextlib.ExitStack() as stack:
        gate = start_ours(stack, programs, redis, clients)
        issuer = f"{gate}/auth"
        user = {"username": "ada", "password": secrets.token_urlsafe(16)}
        port = int(gate.rsplit(":", 1)[1])
        status, body = request(port, "POST", "/auth/register", user)
        if status != 201:
            sys.exit(f"foreign: register: {status} {body}")
        wait_for_published_revocations(port, user)
        check_our_own_discovery(stack, programs, issuer, port, user)
        apis = [f"{gate}/{strategy}/me" for strategy in ("jwt", "introspection")]
        outcomes = run_node(modules, {"issuer": issuer, "apis": apis, "user": user, **clients})
        outcomes["authlib"] = run_authlib(issuer, apis, clients["web"], user)
    return outcomes


def token_of(port, client, secret, resource):
    """A token of the foreign issuer for a machine."""
    form = {"grant_type": "client_credentials", **({"resource": resource} if resource else {})}
    pair = base64.b64encode(f"{client}:{urllib.parse.quote(secret, safe='')}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {pair}"}
    connection.request("POST", "/token", urllib.parse.urlencode(form), headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        sys.exit(f"foreign: oidc-provider gives no token: {answer.status} {body}")
    return body["access_token"]


def ours_behind_theirs(programs, modules):
    """What the APIs say to tokens of two oidc-providers, whose keys are discovered, of which the second may sign in one
    way only: (what, strategy) to a fault or none."""
    port, other, secret = free_port(), free_port(), "+/" + base64.b64encode(secrets.token_bytes(32)).decode()
    issuer, resource = f"http://127.0.0.1:{port}", "https://api.example"
    outcomes = {}
    with contextlib.ExitStack() as stack:
        for at in (port, other):
            command = ["node", os.path.join(modules, "provider.mjs"), str(at), secret]
            stack.enter_context(process(command, lambda at=at: request(at, "GET", "/jwks")[0] == 200))
        common = {"API_ISSUER": issuer, "API_AUDIENCE": resource, "API_ROLES_CLAIM": "scope"}
        others = [{"issuer": f"http://127.0.0.1:{other}", "algorithms": ["ES256"]}]
        jwt = api(stack, programs, "jwt", API_JWKS_URL="discover", API_OTHER_ISSUERS=json.dumps(others), **common)
        introspection = api(
            stack,
            programs,
            "introspection",
            API_INTROSPECTION_URL=f"{issuer}/token/introspection",
            API_CLIENT_ID="api",
            API_CLIENT_SECRET=secret,
            **common,
        )

        def check(what, strategy, token, wanted):
            api_port = jwt if strategy == "jwt" else introspection
            status, body = request(api_port, "GET", "/me", token=token)
            fault = None if status == wanted else f"{status}, not {wanted}: {body}"
            outcomes[what, strategy] = outcomes.get((what, strategy)) or fault

        for algorithm in ALGORITHMS:
            check(algorithm, "jwt", token_of(port, algorithm, secret, resource), 200)
            check("another audience", "jwt", token_of(port, algorithm, secret, ELSEWHERE), 401)
        check("another issuer", "jwt", token_of(other, "ES256", secret, resource), 200)
        check("another issuer, an algorithm it may not use", "jwt", token_of(other, "RS256", secret, resource), 401)
        check("another issuer, another audience", "jwt", token_of(other, "ES256", secret, ELSEWHERE), 401)
        # Of so many forms that some begin or end with any character.
        for _ in range(40):
            check("opaque", "introspection", token_of(port, "opaque", secret, resource), 200)
        check("opaque, no audience", "introspection", token_of(port, "opaque", secret, None), 200)
        for _ in range(10):
            check("another audience", "introspection", token_of(port, "opaque", secret, ELSEWHERE), 401)
            check("nobody's", "introspection", secrets.token_urlsafe(24), 401)
        # None of that is an outage.
        check("after all that", "introspection", token_of(port, "opaque", secret, resource), 200)
    return outcomes


def table(rows, columns):
    """A table in Markdown, and the faults."""
    lines = [f"| library | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    faults = []
    for library, steps in rows.items():
        cells = []
        for column in columns:
            if column not in steps:
                cells.append("")
            elif steps[column] is None:
                cells.append("yes")
            else:
                cells.append("**no**")
                faults.append(f"{library}, {column}: {steps[column]}")
        lines.append(f"| {library} | {' | '.join(cells)} |")
    return "\n".join(lines), faults


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    programs = sys.argv[1]
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    for name, there in (("redis", server), ("node", shutil.which("node")), ("npm", shutil.which("npm"))):
        if there is None:
            sys.exit(f"foreign: {name} is missing: scripts/install.sh {name}")
    modules = node_modules()
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--maxmemory-policy", "noeviction"]
    with tempfile.TemporaryDirectory() as folder:
        with process([server, *options, "--dir", folder], lambda: connects(port)):
            before = theirs_before_ours(programs, port, modules)
    behind = ours_behind_theirs(programs, modules)
    text, faults = table(before, STEPS)
    print(text, end="\n\n")
    rows = {}
    for (what, strategy), fault in behind.items():
        rows.setdefault(f"oidc-provider: {what}", {})[strategy] = fault
    text, more = table(rows, ["jwt", "introspection"])
    print(text)
    missing = {"openid-client", "oauth4webapi", "jose", "passport-oauth2", "authlib"} - set(before)
    if faults or more or missing:
        sys.exit("foreign: " + "\n".join(faults + more + [f"{name} did not run" for name in missing]))


if __name__ == "__main__":
    main()
