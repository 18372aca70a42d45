#!/usr/bin/env python3
"""Checks our tokens with two implementations that are not ours, joserfc and jwcrypto, in both directions.

For each algorithm: a token of the real auth-service must verify with both, with the key set that it publishes, and
must not once it is changed; and the real api-service must accept what both sign, and refuse what is changed.
usage: foreign-jose.py FOLDER-OF-OUR-PROGRAMS; needs redis-server. `make foreign` runs it.
"""

import base64
import http.server
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import warnings

import joserfc.errors
import joserfc.jwk
import joserfc.jwt
import jwcrypto.common
import jwcrypto.jwk
import jwcrypto.jwt

from processes import connects, free_port, process, request

# RFC 9864 renames EdDSA; the tokens of today have the name of RFC 8037.
warnings.simplefilter("ignore")

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
# Of issuers that are not ours, which name the algorithm of each key.
MORE = ["RS384", "RS512", "PS256", "PS384", "PS512", "ES384"]
AUDIENCE = "statewise-api"
checks = 0


def check(right, what):
    """Counts a check, and ends the program at the first that fails."""
    global checks
    checks += 1
    if not right:
        sys.exit(f"foreign: {what}")


class JoseRfc:
    name = "joserfc"
    refusals = (joserfc.errors.JoseError, ValueError)

    @staticmethod
    def generate(algorithm, kid):
        kinds = {"ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "EdDSA": ("OKP", "Ed25519")}
        kind, detail = kinds.get(algorithm, ("RSA", 2048))
        return joserfc.jwk.generate_key(kind, detail, {"kid": kid, "alg": algorithm})

    @staticmethod
    def public(key):
        return key.as_dict(private=False)

    @staticmethod
    def sign(key, algorithm, header, claims):
        return joserfc.jwt.encode({"alg": algorithm, **header}, claims, key, algorithms=[algorithm])

    @staticmethod
    def verify(token, key_set, algorithm):
        keys = joserfc.jwk.KeySet.import_key_set(key_set)
        token = joserfc.jwt.decode(token, keys, algorithms=[algorithm])
        return token.header, token.claims


class JwCrypto:
    name = "jwcrypto"
    refusals = (jwcrypto.common.JWException, ValueError)

    @staticmethod
    def generate(algorithm, kid):
        how = {
            "ES256": {"kty": "EC", "crv": "P-256"},
            "ES384": {"kty": "EC", "crv": "P-384"},
            "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
        }.get(algorithm, {"kty": "RSA", "size": 2048})
        return jwcrypto.jwk.JWK.generate(kid=kid, alg=algorithm, **how)

    @staticmethod
    def public(key):
        return key.export_public(as_dict=True)

    @staticmethod
    def sign(key, algorithm, header, claims):
        token = jwcrypto.jwt.JWT(header={"alg": algorithm, **header}, claims=claims)
        token.make_signed_token(key)
        return token.serialize()

    @staticmethod
    def verify(token, key_set, algorithm):
        keys = jwcrypto.jwk.JWKSet.from_json(json.dumps(key_set))
        found = jwcrypto.jwt.JWT(jwt=token, key=keys, algs=[algorithm])
        return json.loads(found.header), json.loads(found.claims)


LIBRARIES = [JoseRfc, JwCrypto]


def encode(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def mutations(token):
    """What is no longer the token: every part changed, cut and swapped, and claims raised."""
    header, payload, signature = token.split(".")
    claims = json.loads(decode(payload))
    raised = encode(json.dumps({**claims, "roles": ["admin"]}).encode())
    later = encode(json.dumps({**claims, "exp": claims["exp"] + 60}).encode())
    unsigned = encode(json.dumps({**json.loads(decode(header)), "alg": "none"}).encode())
    bits = bytearray(decode(signature))
    bits[len(bits) // 2] ^= 1
    yield "admin", f"{header}.{raised}.{signature}"
    yield "a later end", f"{header}.{later}.{signature}"
    yield "one bit of the signature", f"{header}.{payload}.{encode(bytes(bits))}"
    yield "half a signature", f"{header}.{payload}.{signature[: len(signature) // 2]}"
    yield "no signature", f"{header}.{payload}."
    yield "alg none", f"{unsigned}.{payload}."
    yield "alg none with the signature", f"{unsigned}.{payload}.{signature}"
    yield "parts swapped", f"{payload}.{header}.{signature}"


def they_verify_ours(programs, redis, algorithm):
    port = free_port()
    issuer = f"http://127.0.0.1:{port}/auth"
    with tempfile.TemporaryDirectory() as data, process(
        [os.path.join(programs, "auth-service")],
        lambda: request(port, "GET", "/readyz")[0] == 200,
        AUTH_LISTEN=f"127.0.0.1:{port}",
        AUTH_DATA_DIR=data,
        AUTH_ISSUER=issuer,
        AUTH_AUDIENCE=AUDIENCE,
        AUTH_ALGORITHM=algorithm,
        AUTH_REDIS_URL=f"redis://127.0.0.1:{redis}",
        AUTH_ARGON2_MEMORY_KIB="1024",
        AUTH_ARGON2_ITERATIONS="1",
    ):
        user = {"username": "ada", "password": secrets.token_urlsafe(16)}
        status, body = request(port, "POST", "/register", user)
        check(status == 201, f"register: {status} {body}")
        status, body = request(port, "POST", "/login", {**user, "credential": "token"})
        check(status == 200, f"login: {status} {body}")
        token = body["access_token"]
        status, key_set = request(port, "GET", "/.well-known/jwks.json")
        check(status == 200, f"the key set: {status}")
        for library in LIBRARIES:
            header, claims = library.verify(token, key_set, algorithm)
            check(header["typ"] == "at+jwt" and header["alg"] == algorithm, f"{library.name}: {header}")
            check(claims["iss"] == issuer and claims["aud"] == AUDIENCE, f"{library.name}: {claims}")
            for what, mutation in mutations(token):
                try:
                    library.verify(mutation, key_set, algorithm)
                    refused = False
                except library.refusals:
                    refused = True
                check(refused, f"{library.name} accepts our {algorithm} token with {what}")


class Issuer(http.server.BaseHTTPRequestHandler):
    """Publishes the foreign keys."""

    key_set = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "application/jwk-set+json")
        self.send_header("content-length", str(len(self.key_set)))
        self.end_headers()
        self.wfile.write(self.key_set)

    def log_message(self, *_):
        pass


def we_verify_theirs(programs):
    issuer = "https://foreign.example"
    keys = {}
    for library in LIBRARIES:
        for algorithm in ALGORITHMS + MORE:
            kid = f"{library.name}-{algorithm}"
            keys[kid] = (library, algorithm, library.generate(algorithm, kid))
    public = [library.public(key) for library, _, key in keys.values()]
    Issuer.key_set = json.dumps({"keys": public}).encode()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = free_port()
        with process(
            [os.path.join(programs, "api-service")],
            lambda: request(port, "GET", "/readyz")[0] == 200,
            API_STRATEGY="jwt",
            API_LISTEN=f"127.0.0.1:{port}",
            API_ISSUER=issuer,
            API_AUDIENCE=AUDIENCE,
            API_JWKS_URL=f"http://127.0.0.1:{server.server_port}/jwks.json",
        ):
            for kid, (library, algorithm, key) in keys.items():
                they_sign(port, issuer, library, algorithm, kid, key)
        server.shutdown()


def they_sign(port, issuer, library, algorithm, kid, key):
    now = int(time.time())
    claims = {
        "iss": issuer, "sub": "u-1", "aud": AUDIENCE, "client_id": "c", "jti": "t-1", "iat": now, "exp": now + 300,
        "roles": ["user"], "preferred_username": "ada",
    }
    header = {"typ": "at+jwt", "kid": kid}
    token = library.sign(key, algorithm, header, claims)
    status, body = request(port, "GET", "/me", token=token)
    check(status == 200 and body["subject"] == "u-1", f"{kid}: {status} {body}")
    changed = list(mutations(token))
    changed.append(("another issuer", library.sign(key, algorithm, header, {**claims, "iss": f"{issuer}/"})))
    changed.append(("another audience", library.sign(key, algorithm, header, {**claims, "aud": "other"})))
    changed.append(("its end passed", library.sign(key, algorithm, header, {**claims, "iat": now - 900, "exp": now - 60})))
    changed.append(("another typ", library.sign(key, algorithm, {**header, "typ": "JWT"}, claims)))
    changed.append(("another kid", library.sign(key, algorithm, {**header, "kid": "nobody"}, claims)))
    for what, mutation in changed:
        status, body = request(port, "GET", "/me", token=mutation)
        check(status == 401, f"{kid} with {what}: {status} {body}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    programs = sys.argv[1]
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        sys.exit("foreign: redis-server is missing: scripts/install.sh redis")
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--maxmemory-policy", "noeviction"]
    with tempfile.TemporaryDirectory() as folder:
        with process([server, *options, "--dir", folder], lambda: connects(port)):
            for algorithm in ALGORITHMS:
                they_verify_ours(programs, port, algorithm)
    we_verify_theirs(programs)
    print(f"foreign: {checks} checks with joserfc and jwcrypto, {len(ALGORITHMS)} algorithms in both directions, {len(MORE)} more of theirs")


if __name__ == "__main__":
    main()
