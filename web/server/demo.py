"""The demonstration: a filled ledger, a token to it, and lines to paste."""

from __future__ import annotations

import contextlib
import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from commands.give_access import create_token
from commands.open_portal_session import MINUTES_MAX, Granted, make_link
from examples.demonstration.fill import fill_demo, is_demo, spare_key
from examples.demonstration.story import BAKERY, HOTEL, POS
from ledger.events import RequestContext
from ledger.permissions import PERMISSIONS
from ledger.store import schema
from projections.access import valid_token
from web.app.services import Wiring
from web.app.settings import Settings

TOKEN_FILE: Final = "keyfold.demo-token"
TOKEN_DAYS: Final = 1


class NotTheDemo(Exception):
    """The ledger holds events that are not the demonstration's."""


class Tour(NamedTuple):
    """What a visitor needs.

    Attributes:
        code: of a key that nobody has redeemed.
        link: opens the hosted pages as an account's customer, once.
        can_buy: whether Stripe is there to buy from.
    """

    token: str
    code: str
    link: str
    can_buy: bool


def prepare(settings: Settings) -> None:
    """Make the tables on SQLite; elsewhere `keyfold db upgrade` is asked for, as always."""
    if settings.database_url.startswith("sqlite:"):
        schema.upgrade(settings.database_url)


def fill(wiring: Wiring, request_context: RequestContext) -> int:
    """Fill the ledger, which must be empty; return its position."""
    return fill_demo(wiring.services, request_context.now, test_clock=request_context.test_clock)


def start_tour(wiring: Wiring, request_context: RequestContext) -> Tour:
    """Fill the ledger if it is empty; return what a visitor needs to go on with it.

    Raises:
        NotTheDemo: it began in another way.
    """
    if not wiring.services.book.head():
        fill(wiring, request_context)
    if not is_demo(wiring.services):
        raise NotTheDemo
    granted = Granted(HOTEL, PERMISSIONS, minutes=MINUTES_MAX)
    return Tour(
        _token(wiring, request_context),
        spare_key(wiring.services, request_context).code,
        make_link(wiring.services, wiring.link_key, request_context, granted).text,
        can_buy=wiring.services.stripe is not None,
    )


def curl_lines(url: str, tour: Tour) -> list[str]:
    """Return three requests that a shell can be given as they are."""
    seats = f"{url}/v1/accounts/{BAKERY}"
    body = {"code": tour.code, "account": BAKERY, "session": "demo"}
    return [
        _curl(tour.token, f"{seats}/subscriptions"),
        _curl(tour.token, f"{url}/v1/keys/redeem", msgspec.json.encode(body).decode()),
        _curl(tour.token, f"{seats}/seats/{POS}/till-6"),
    ]


def portal_link(url: str, tour: Tour) -> str:
    """Return where a browser opens the customer's pages."""
    return f"{url}/portal/open?link={tour.link}"


def _curl(token: str, url: str, body: str | None = None) -> str:
    words = ["curl", "-sS", "-w", r"\n", "-H", f"Authorization: Bearer {token}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", body]
    return shlex.join([*words, url])


def _token(wiring: Wiring, request_context: RequestContext) -> str:
    """Return an admin's token: kept beside a SQLite ledger, for a day on any other."""
    if not wiring.settings.database_url.startswith("sqlite:"):
        end = request_context.now + timedelta(days=TOKEN_DAYS)
        return create_token(wiring.services, request_context, "admin", expires_at=end).secret
    file = token_file(wiring.settings.database_url)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = file.read_text("ascii").strip()
        if valid_token(wiring.services.book, wiring.services.token_key, kept, request_context.now):
            return kept
    secret = create_token(wiring.services, request_context, "admin").secret
    _keep(file, secret)
    return secret


def token_file(database_url: str) -> Path:
    """Return where the demonstration's token is kept: beside its database."""
    return Path(database_url.removeprefix("sqlite:///")).parent / TOKEN_FILE


def _keep(file: Path, secret: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(0o600)
    draft.write_text(secret + "\n")
    draft.replace(file)
