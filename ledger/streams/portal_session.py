"""One session of a customer on the hosted pages, from the link that is made for it to its end.

Stream:    `portal_session-<id>`, where `kfp_<id>` is the session's id
Facts:     PortalLinkMade, PortalSessionOpened, PortalSessionEnded
Invariant: a link opens once, in time, and only if the ledger has made it.

The ledger holds digests of two random secrets: that of the link, and that of the browser which
opened it. Neither can be made up by who knows the ledger, or the keys that things are signed with.

The session's id is the actor of everything that is done on the pages, and the session that failed
tries of a code are counted by.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream

# A session lasts at most so many times as long as its link could be opened.
LIFETIME_FACTOR: Final = 8


class LinkInvalid(Exception):
    """This link was not made by this ledger, was changed on its way, or was taken back."""


class LinkExpired(Exception):
    """This link was not opened in time."""


class LinkUsed(Exception):
    """This link was opened already, and opens once."""


# Facts


class PortalLinkMade(Fact, frozen=True):
    """A link to the hosted pages was made.

    Attributes:
        session: the id of the session that it opens.
        account: the only one that the session sees.
        permissions: what it may do beyond what every session may, sorted.
        granted_by: id of the token that the link was made with or of the person, or `operator`.
        minutes: how long the link can be opened.
        expires_at: from this moment on it cannot be.
        link_digest: of the secret in the link.
    """

    session: str
    account: str
    permissions: tuple[str, ...]
    granted_by: str
    minutes: int
    expires_at: datetime
    link_digest: str


class PortalSessionOpened(Fact, frozen=True):
    """A customer opened a link to the hosted pages.

    Attributes:
        session, account, permissions, granted_by: as the link has them.
        expires_at: from this moment on the session is over, whatever is done in it.
        cookie_digest: of the secret in the browser's cookie; "" for a session of an earlier
            release, which nobody can go on with.
    """

    session: str
    account: str
    permissions: tuple[str, ...]
    granted_by: str
    expires_at: datetime
    cookie_digest: str


class PortalSessionEnded(Fact, frozen=True):
    """The customer ended the session by leaving."""

    session: str
    account: str


# State


class PortalSession(Struct, frozen=True):
    """A session, or the link that opens one.

    Attributes:
        made_at: the position at which its link was made.
        link_expires_at, link_digest: None for a session whose link is not on record.
        opened_at, expires_at, cookie_digest: None until the link is opened.
    """

    id: str
    account: str
    permissions: tuple[str, ...]
    granted_by: str
    made_at: int
    minutes: int = 0
    link_expires_at: datetime | None = None
    link_digest: str | None = None
    opened_at: datetime | None = None
    expires_at: datetime | None = None
    cookie_digest: str | None = None
    ended_at: datetime | None = None


# Fold


def fold(session: PortalSession | None, events: Iterable[AnyOccurrence]) -> PortalSession | None:
    """Return the session after these events; None while there is no link to it."""
    for event in events:
        match event.fact:
            case PortalLinkMade() as made:
                session = PortalSession(
                    made.session,
                    made.account,
                    made.permissions,
                    made.granted_by,
                    event.position,
                    made.minutes,
                    made.expires_at,
                    made.link_digest,
                )
            case PortalSessionOpened() as opened:
                before = session or PortalSession(
                    opened.session,
                    opened.account,
                    opened.permissions,
                    opened.granted_by,
                    event.position,
                )
                session = replace(
                    before,
                    opened_at=event.occurred_at,
                    expires_at=opened.expires_at,
                    cookie_digest=opened.cookie_digest,
                )
            case PortalSessionEnded() if session:
                session = replace(session, ended_at=event.occurred_at)
    return session


# Decisions


def open_session(
    session: PortalSession | None, link_digest: str, cookie_digest: str, now: datetime
) -> list[Fact]:
    """Return the fact that begins the session that a link is for.

    Args:
        link_digest: of the secret in the link that was sent.
        cookie_digest: of the secret that the browser is given.

    Raises:
        LinkInvalid, LinkUsed, LinkExpired: in this order.
    """
    if session is None or session.link_digest is None:
        raise LinkInvalid
    if not hmac.compare_digest(session.link_digest, link_digest):
        raise LinkInvalid
    if session.opened_at is not None:
        raise LinkUsed
    if session.link_expires_at is None or now >= session.link_expires_at:
        raise LinkExpired
    return [
        PortalSessionOpened(
            session=session.id,
            account=session.account,
            permissions=session.permissions,
            granted_by=session.granted_by,
            expires_at=now + timedelta(minutes=session.minutes) * LIFETIME_FACTOR,
            cookie_digest=cookie_digest,
        )
    ]


def end(session: PortalSession | None) -> list[Fact]:
    """Return the fact that ends a session by leaving; none for one that never began, or is over."""
    if session is None or session.opened_at is None or session.ended_at is not None:
        return []
    return [PortalSessionEnded(session=session.id, account=session.account)]


def stands(session: PortalSession, cookie_secret_digest: str, now: datetime) -> bool:
    """Return whether a session goes on for the browser that holds a secret."""
    return (
        session.ended_at is None
        and session.expires_at is not None
        and now < session.expires_at
        and bool(session.cookie_digest)
        and hmac.compare_digest(session.cookie_digest or "", cookie_secret_digest)
    )


PORTAL_SESSION: Stream[PortalSession | None] = Stream(
    kind="portal_session",
    facts={
        "portal_session.link_made@1": PortalLinkMade,
        "portal_session.opened@2": PortalSessionOpened,
        "portal_session.ended@1": PortalSessionEnded,
    },
    initial=None,
    fold=fold,
)


def session_id(id: str) -> str:
    """Return the id that a session is known by outside of its stream's name."""
    return f"kfp_{id}"


def stream_id(session: str) -> str:
    """Return the id in the stream's name for a session's id."""
    return session.removeprefix("kfp_")
