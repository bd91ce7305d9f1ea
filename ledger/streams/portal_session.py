"""One visit of a customer to the hosted pages.

Stream:    `portal_session-<nonce>`, where `kfp_<nonce>` is the visit's id, and the nonce is the
           link's own
Facts:     PortalSessionOpened
Invariant: a link opens once.

The visit's id is the actor of everything that is done on the pages, and the session that failed
tries of a code are counted by.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from ledger.events import AnyOccurrence, Fact, Stream


class LinkUsed(Exception):
    """This link was opened already, and opens once."""


# Facts


class PortalSessionOpened(Fact, frozen=True):
    """A customer opened a link to the hosted pages.

    Attributes:
        session: the visit's id.
        account: the only one that the visit sees.
        permissions: what it may do beyond what every visit may, sorted.
        granted_by: id of the token that the link was made with.
        expires_at: from this moment on the visit is over.
    """

    session: str
    account: str
    permissions: tuple[str, ...]
    granted_by: str
    expires_at: datetime


# State


class PortalSession(Struct, frozen=True):
    id: str
    account: str
    permissions: tuple[str, ...]
    opened_at: datetime
    expires_at: datetime


# Fold


def fold(session: PortalSession | None, events: Iterable[AnyOccurrence]) -> PortalSession | None:
    for event in events:
        match event.fact:
            case PortalSessionOpened() as opened:
                session = PortalSession(
                    opened.session,
                    opened.account,
                    opened.permissions,
                    event.occurred_at,
                    opened.expires_at,
                )
    return session


# Decisions


def open_session(session: PortalSession | None, opened: PortalSessionOpened) -> list[Fact]:
    """Begin the visit that a link is for.

    Raises:
        LinkUsed: it has begun already.
    """
    if session is not None:
        raise LinkUsed
    return [opened]


PORTAL_SESSION: Stream[PortalSession | None] = Stream(
    kind="portal_session",
    facts={"portal_session.opened@1": PortalSessionOpened},
    initial=None,
    fold=fold,
)


def session_id(nonce: str) -> str:
    """Answer the id of the visit that a link with this nonce opens."""
    return f"kfp_{nonce}"
