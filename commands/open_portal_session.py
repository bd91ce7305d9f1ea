"""Make a link to the hosted pages, and open it.

A link carries what it grants, signed: nothing is recorded until it is opened.

    <base64 of JSON {"account", "permissions", "return_url", "minutes", "granted_by", "nonce",
    "expires_at"}> . <base64 of its HMAC-SHA256>
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from ledger.book import Change, moment
from ledger.events import Stamp
from ledger.refusals import FieldError
from ledger.streams import portal_session
from ledger.streams.portal_session import PORTAL_SESSION, PortalSessionOpened

Permission = Literal["manage_users"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

MINUTES_MAX: Final = 1440
MINUTES_DEFAULT: Final = 30
NONCE_BYTES: Final = 16


class LinkInvalid(Exception):
    """This link was not made by this ledger, or was changed on its way."""


class LinkExpired(Exception):
    """This link was not opened in time."""


class Granted(NamedTuple):
    """What a link is to let its customer do.

    Attributes:
        return_url: where the pages lead back to; the caller has held it to the list of those
            allowed. None for nowhere.
        minutes: how long the link may be opened, and then how long the visit lasts.
    """

    account: str
    permissions: Sequence[str] = ()
    return_url: str | None = None
    minutes: int = MINUTES_DEFAULT


class Opened(NamedTuple):
    """The visit that began."""

    session: str
    account: str
    permissions: tuple[str, ...]
    return_url: str | None
    expires_at: datetime
    position: int


class _Link(Struct, frozen=True, forbid_unknown_fields=True):
    account: str
    permissions: tuple[str, ...]
    return_url: str | None
    minutes: int
    granted_by: str
    nonce: str
    expires_at: datetime


def make_link(ports: Ports, key: bytes, stamp: Stamp, granted: Granted) -> str:
    """Answer the text of a link, which is opened once and in time.

    Args:
        key: that links are signed with.

    Raises:
        InvalidRequest: fields that do not fit.
    """
    checks.refuse_if(_errors(granted))
    nonce = base64.b32encode(ports.random_bytes(NONCE_BYTES)).decode().rstrip("=").lower()
    link = _Link(
        account=granted.account,
        permissions=tuple(sorted(set(granted.permissions))),
        return_url=granted.return_url,
        minutes=granted.minutes,
        granted_by=stamp.actor,
        nonce=nonce,
        expires_at=stamp.now + timedelta(minutes=granted.minutes),
    )
    payload = msgspec.json.encode(link)
    return f"{_text(payload)}.{_text(hmac.digest(key, payload, 'sha256'))}"


def session_of(key: bytes, link: str) -> str | None:
    """Answer the id of the visit that a link opens or has opened; None for no link of ours."""
    try:
        return portal_session.session_id(_read(key, link).nonce)
    except LinkInvalid:
        return None


def open_portal_session(ports: Ports, key: bytes, stamp: Stamp, link: str) -> Opened:
    """Open a link: the visit begins, and is recorded as its own actor's first deed.

    Raises:
        LinkInvalid: not a link of this ledger.
        LinkExpired: it was not opened in time.
        LinkUsed: it was opened before.
    """
    granted = _read(key, link)
    session = portal_session.session_id(granted.nonce)

    def attempt() -> Opened:
        loaded = ports.book.load(PORTAL_SESSION, granted.nonce)
        now = moment(stamp.now, loaded)
        if loaded.state is None and now >= granted.expires_at:
            raise LinkExpired
        opened = PortalSessionOpened(
            session=session,
            account=granted.account,
            permissions=granted.permissions,
            granted_by=granted.granted_by,
            expires_at=now + timedelta(minutes=granted.minutes),
        )
        facts = portal_session.open_session(loaded.state, opened)
        appended = ports.book.append(stamp._replace(actor=session), Change(loaded, facts))
        return Opened(
            session,
            granted.account,
            granted.permissions,
            granted.return_url,
            opened.expires_at,
            appended.position,
        )

    return deciding(attempt)


def _errors(granted: Granted) -> list[FieldError]:
    unknown = sorted(set(granted.permissions).difference(PERMISSIONS))
    return [
        *checks.account(granted.account),
        *checks.within("/minutes", granted.minutes, MINUTES_MAX),
        *([FieldError("/permissions", f"must be of {', '.join(PERMISSIONS)}")] if unknown else []),
    ]


def _read(key: bytes, link: str) -> _Link:
    payload_text, _, signature_text = link.partition(".")
    try:
        payload, signature = _bytes(payload_text), _bytes(signature_text)
    except ValueError:
        raise LinkInvalid from None
    if not hmac.compare_digest(signature, hmac.digest(key, payload, "sha256")):
        raise LinkInvalid
    try:
        return msgspec.json.decode(payload, type=_Link)
    except msgspec.ValidationError:
        # Made by an earlier release, which wrote links in another shape.
        raise LinkInvalid from None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    data = text.encode("ascii")
    return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
