"""A provider of OpenID Connect into which faults are planted, each to be looked at by itself.

That Keyfold and a real provider understand each other is in test_real_provider.py; a real one
cannot be made to lie.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "keyfold"
CLIENT_SECRET = "shared: with this provider"


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


# Made once: it takes a while.
KEY, NEXT_KEY, STRANGERS_KEY = new_key("one"), new_key("two"), new_key("one")

Sign = Callable[[dict[str, Any]], str]


def signed_by(key: RSAKey) -> Sign:
    return lambda claims: jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


@dataclass
class PlantedProvider:
    """A provider that says what a test has it say.

    Attributes:
        claims: of the ID token, beside those that the protocol wants; None takes one of those out.
        userinfo: what it says when it is asked for more; None where there is no such address.
        sign: makes an ID token of claims.
        keys: the keys that it publishes.
        description: what it says of itself otherwise than it should.
        asked: the addresses that were asked for, in order.
        wait: is called before each answer.
    """

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    sign: Sign = field(default_factory=lambda: signed_by(KEY))
    keys: list[RSAKey] = field(default_factory=lambda: [KEY])
    description: dict[str, Any] = field(default_factory=dict)
    token_answer: tuple[int, bytes] | None = None
    asked: list[str] = field(default_factory=list)
    wait: Callable[[], None] = lambda: None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def give_code(self, authorization_url: str, code: str = "a-code") -> str:
        """Let somebody sign in there, and return the code that the browser comes back with."""
        self.codes[code] = dict(parse_qsl(urlsplit(authorization_url).query))
        return code

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        self.wait()
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self._described()).encode()
        if path == "/keys":
            return 200, json.dumps(
                {"keys": [one.as_dict(private=False) for one in self.keys]}
            ).encode()
        if path == "/userinfo" and authorization == "Bearer an-access-token":
            return 200, json.dumps(self.userinfo).encode()
        if path == "/token":
            return self.token_answer or self._token(form, authorization)
        return 404, b""

    def _described(self) -> dict[str, Any]:
        described = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "code_challenge_methods_supported": ["S256"],
        }
        if self.userinfo is not None:
            described["userinfo_endpoint"] = f"{self.url}/userinfo"
        return {**described, **self.description}

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        wanted = base64.b64encode(f"{CLIENT_ID}:shared%3A%20with%20this%20provider".encode())
        if authorization != f"Basic {wanted.decode()}":
            return 401, b'{"error": "invalid_client"}'
        began = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            began is None
            or began["code_challenge_method"] != "S256"
            or began["code_challenge"] != challenge
            or began["redirect_uri"] != form.get("redirect_uri")
        ):
            return 400, b'{"error": "invalid_grant"}'
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "248289761001", "aud": CLIENT_ID, "exp": now + 300, "iat": now,
            "nonce": began["nonce"], **self.claims,
        }  # fmt: skip
        id_token = self.sign({name: one for name, one in claims.items() if one is not None})
        tokens = {"access_token": "an-access-token", "token_type": "Bearer", "id_token": id_token}
        return 200, json.dumps(tokens).encode()


@contextmanager
def planted_provider() -> Iterator[PlantedProvider]:
    """Run a provider on this machine."""
    provider = PlantedProvider()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(dict(parse_qsl(body.decode())))

        def _answer(self, form: dict[str, str]) -> None:
            authorization = self.headers.get("Authorization", "")
            status, body = provider.answer(self.path, form, authorization)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
