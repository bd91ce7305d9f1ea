"""Deliveries of Stripe's, made from one pattern, and given to an application without a socket.

Keyfold and what is measured beside it take the same bodies, signed alike, by the same call, WSGI's.
So this module needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import itertools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

SECRET: Final = "whsec_of_the_benchmark"
ACCOUNTS: Final = 16
# What differs from one delivery to the next, as the pattern has it.
EVENT, ID, OBJECT = "evt_pattern", "pattern", "the pattern's object"
SECOND, QUANTITY = 1_700_000_007, 990_007

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Pattern(NamedTuple):
    """An event and what it is about, in JSON; the event has `OBJECT` in its place."""

    event: str
    object: str


class Delivery(NamedTuple):
    """One event as Stripe posts it, and what it is about: the subscription `sub_<id>`."""

    id: str
    object: str
    body: bytes
    signature: str


class Deliveries:
    """Events that nobody has seen yet, of one subscription after another; each is a change.

    Args:
        name: whose they are; events and subscriptions of another name are others.
    """

    def __init__(self, pattern: Pattern, name: str) -> None:
        self._pattern = pattern
        self._name = name
        self._numbers = itertools.count()
        # A subscription changes once a second: it began an hour ago.
        self._began = int(time.time()) - 3600

    def next(self) -> Delivery:
        """Return the next one, signed now."""
        number = next(self._numbers)
        round_number = number // ACCOUNTS
        id = f"{self._name}{number % ACCOUNTS}"
        object = self._pattern.object.replace(ID, id).replace(
            str(QUANTITY), str(round_number % 7 + 1)
        )
        event = self._pattern.event.replace(EVENT, f"evt_{self._name}{number}")
        body = event.replace(str(SECOND), str(self._began + round_number)).replace(
            f'"{OBJECT}"', object
        )
        at = int(time.time())
        signed = hmac.new(SECRET.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
        return Delivery(id, object, body.encode(), f"t={at},v1={signed}")


def post(application: Application, path: str, delivery: Delivery) -> bytes:
    """Give a delivery to an application, as a server would; answer what it said with its 200."""
    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        statuses.append(status)

    chunks = application(_environ(path, delivery), start_response)
    try:
        response_body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    assert statuses[0].startswith("200"), response_body.decode(errors="replace")
    return response_body


def _environ(path: str, delivery: Delivery) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(delivery.body)),
        "HTTP_HOST": "localhost",
        "HTTP_STRIPE_SIGNATURE": delivery.signature,
        "HTTP_USER_AGENT": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(delivery.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
