"""Make a link to the hosted pages, open it, and end the session that it began.

A link is recorded when it is made, with the digest of a random secret that only the link holds. It
also carries, signed, what is not for the ledger:

    <id> . <signed JSON {"id", "secret", "return_url", "display_name", "page"}>
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from msgspec import Struct

from commands import validation
from commands.repeated import Asking
from commands.retry import Decided, decide, retry_on_conflict
from commands.services import Services
from ledger import signing
from ledger.book import Change
from ledger.catalog import Catalog
from ledger.events import RequestContext
from ledger.permissions import PERMISSIONS
from ledger.refusals import FieldError
from ledger.streams import granters, portal_session, signing_keys
from ledger.streams.account.decisions import expect_version
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.portal_access import PORTAL_ACCESS, PortalSessionsEnded
from ledger.streams.portal_session import PORTAL_SESSION, LinkInvalid, PortalLinkMade
from ledger.streams.signing_keys import SIGNING_KEYS

MINUTES_MAX: Final = 1440
MINUTES_DEFAULT: Final = 30
DISPLAY_NAME_MAX: Final = 80
ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
PURPOSE: Final = "portal link"

# Pages that a link may lead to: by themselves, and of a product.
PAGES: Final = ("subscriptions", "billing")
PRODUCT_PAGES: Final = ("manage", "buy", "activate")

_ID: Final = re.compile(r"[a-z2-7]{26}")


class Granted(NamedTuple):
    """What a link is to let its customer do.

    Attributes:
        return_url: where the pages lead back to; the caller has held it to the list of those
            allowed. None for nowhere.
        minutes: how long the link may be opened; the session that it begins lasts eight times as
            long at most.
        display_name: what the account is called on the pages; it is not recorded.
        page: which page the link leads to, e.g. `buy/cloud_pos`; None for the first one.
    """

    account: str
    permissions: Sequence[str] = ()
    return_url: str | None = None
    minutes: int = MINUTES_DEFAULT
    display_name: str | None = None
    page: str | None = None


class MadeLink(NamedTuple):
    """A link, and the position of its event."""

    text: str
    position: int


class Opened(NamedTuple):
    """The session that began.

    Attributes:
        secret: what the browser shows from now on that it opened the link.
    """

    session: str
    account: str
    secret: str
    return_url: str | None
    display_name: str | None
    page: str | None
    position: int


class LinkTarget(NamedTuple):
    """What a link opens, or has opened: a session of an account, and what that is called."""

    session: str
    account: str
    display_name: str | None


class _Link(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    secret: str
    return_url: str | None
    display_name: str | None
    page: str | None


def make_link(
    services: Services,
    key: bytes,
    context: RequestContext,
    granted: Granted,
    *,
    expected_version: int | None = None,
) -> MadeLink:
    """Make a link, which is opened once and in time, record that it was made, and return it.

    Args:
        key: what the keys that links are signed with are made of.
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        VersionMismatch: something was recorded since.
    """
    validation.refuse_if(_errors(services, granted))
    id = base64.b32encode(services.random_bytes(ID_BYTES)).decode().rstrip("=").lower()
    secret = services.random_bytes(SECRET_BYTES).hex()
    link = _Link(id, secret, granted.return_url, granted.display_name, granted.page)
    fact = PortalLinkMade(
        session=portal_session.session_id(id),
        account=granted.account,
        permissions=tuple(sorted(set(granted.permissions))),
        granted_by=context.actor,
        minutes=granted.minutes,
        expires_at=context.now + timedelta(minutes=granted.minutes),
        link_digest=signing.digest(secret),
    )

    def attempt() -> MadeLink:
        made, keys, held = services.book.load_all(
            (PORTAL_SESSION, id), (SIGNING_KEYS, signing_keys.ID), (ACCOUNT, granted.account)
        )
        expect_version(held.version, expected_version)
        unmoved = Change(held, (), required=expected_version is not None)
        appended = services.book.append(context, Change(made, [fact]), unmoved)
        signed = signing.sign(signing_keys.keys(key, keys.state)[0], PURPOSE, link)
        return MadeLink(f"{id}.{signed}", appended.position)

    return retry_on_conflict(attempt)


def target_of(services: Services, key: bytes, text: str) -> LinkTarget | None:
    """Return what a link opens or has opened; None for no link of ours."""
    id, _, signed = text.partition(".")
    if not _ID.fullmatch(id):
        return None
    made, keys = services.book.load_all((PORTAL_SESSION, id), (SIGNING_KEYS, signing_keys.ID))
    link = signing.read(signing_keys.keys(key, keys.state), PURPOSE, signed, _Link)
    if link is None or link.id != id or made.state is None:
        return None
    return LinkTarget(made.state.id, made.state.account, link.display_name)


def hold_to_link(services: Services, key: bytes, context: RequestContext, text: str) -> None:
    """Go on only with a link that can be opened now; it stays unopened.

    Raises:
        LinkInvalid, LinkUsed, LinkExpired: as `open_portal_session`.
    """
    _read(services, key, context, text, signing.digest(""))


def open_portal_session(
    services: Services, key: bytes, context: RequestContext, text: str
) -> Opened:
    """Open a link, and return the session that begins.

    That it began is recorded as its own actor's first deed.

    Raises:
        LinkInvalid: not a link of this ledger, or taken back, as its maker's token may have been.
        LinkUsed: it was opened before.
        LinkExpired: it was not opened in time.
    """
    cookie_secret = services.random_bytes(SECRET_BYTES).hex()

    def attempt() -> Opened:
        link, opening = _read(services, key, context, text, signing.digest(cookie_secret))
        session = opening.loaded.state
        appended = services.book.append(context._replace(actor=session.id), opening)
        return Opened(
            session.id,
            session.account,
            cookie_secret,
            link.return_url,
            link.display_name,
            link.page,
            appended.position,
        )

    return retry_on_conflict(attempt)


def _read(
    services: Services, key: bytes, context: RequestContext, text: str, cookie_digest: str
) -> tuple[_Link, Change]:
    """Return what a link says, and what opens it."""
    id, _, signed = text.partition(".")
    if not _ID.fullmatch(id):
        raise LinkInvalid
    loaded, keys = services.book.load_all((PORTAL_SESSION, id), (SIGNING_KEYS, signing_keys.ID))
    link = signing.read(signing_keys.keys(key, keys.state), PURPOSE, signed, _Link)
    session = loaded.state
    if link is None or link.id != id or session is None:
        raise LinkInvalid
    now = context.now
    facts = portal_session.open_session(session, signing.digest(link.secret), cookie_digest, now)
    granted_by = session.granted_by
    access, granted = services.book.load_all(
        (PORTAL_ACCESS, session.account), granters.stream_of(granted_by)
    )
    granter = granters.granter_of(granted_by, granted.state)
    if session.made_at <= access.state or not granters.grant_stands(
        granted_by, granter, session.made_at, now
    ):
        raise LinkInvalid
    return link, Change(loaded, facts)


def leave_portal_session(services: Services, context: RequestContext, session: str) -> None:
    """End a session for good, as its customer asks; one that has ended stays as it is."""
    decide(
        services,
        context,
        PORTAL_SESSION,
        portal_session.stream_id(session),
        lambda loaded: portal_session.end(loaded.state),
    )


def end_portal_sessions(
    services: Services,
    context: RequestContext,
    account: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Decided[int]:
    """End all sessions of an account, and take its unopened links back; return when that was.

    Args:
        expected_version: of the account, if the caller has seen one.
        idempotency_key: a request that is repeated with it ends no session that began since.

    Raises:
        InvalidRequest: fields that do not fit.
        IdempotencyKeyReused: the key was used with another request.
        VersionMismatch: something was recorded since.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.no_code(services, "/account", account),
            *validation.reason(services, reason),
        ]
    )
    asking = Asking(services, "end sessions", idempotency_key, account, reason)

    def attempt() -> Decided[int]:
        loaded, held, *asked = services.book.load_all(
            (PORTAL_ACCESS, account), (ACCOUNT, account), *asking.streams
        )
        before = asking.changed(services, asked, loaded)
        if before is not None:
            return before
        expect_version(held.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        fact = PortalSessionsEnded(account=account, reason=sealed)
        unmoved = Change(held, (), required=expected_version is not None)
        change = Change(loaded, [fact])
        appended = services.book.append(context, change, unmoved, *asking.answer(asked, change))
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)


def _errors(services: Services, granted: Granted) -> list[FieldError]:
    unknown = sorted(set(granted.permissions).difference(PERMISSIONS))
    return [
        *validation.account(granted.account),
        *validation.no_code(services, "/account", granted.account),
        *validation.within("/minutes", granted.minutes, MINUTES_MAX),
        *([FieldError("/permissions", f"must be of {', '.join(PERMISSIONS)}")] if unknown else []),
        *validation.text(services, "/display_name", granted.display_name, DISPLAY_NAME_MAX),
        *_page(services.catalog, granted.page),
    ]


def _page(catalog: Catalog, page: str | None) -> list[FieldError]:
    if page is None or page in PAGES:
        return []
    kind, _, product = page.partition("/")
    if kind in PRODUCT_PAGES and catalog.product(product) is not None:
        return []
    shapes = [*PAGES, *(f"{kind}/PRODUCT" for kind in PRODUCT_PAGES)]
    known = ", ".join(product.id for product in catalog.products)
    detail = f"must be one of {', '.join(shapes)}, where PRODUCT is one of {known}"
    return [FieldError("/page", detail)]
