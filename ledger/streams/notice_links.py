"""Links by which people read the notices of one owner: of an account, of a reseller, or all.

Stream:    `notice_links-<owner>`, where the owner is a digest of whose notices they show
Facts:     NoticeLinkMade, NoticeLinkRevoked
Invariant: a link shows what its owner may see, until it is revoked, or the token that it was made
           with is, or the person who made it is locked out; of an owner no more than LINKS_MAX
           are alive.

An owner's links are one stream, so that they can be counted; a link's id begins with its owner, so
that it is found by its id alone. The ledger holds a digest of a link's secret and nothing that
opens it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.codes import letters
from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import NoticeLinkIsRevoked, NoticeLinkNotFound, TooManyNoticeLinks
from ledger.reseller_names import folded
from ledger.streams import granters
from ledger.streams.granters import Granter

PREFIX: Final = "kfnl_"
OWNER_LENGTH: Final = 26
# Of the part of an id that tells an owner's links apart.
OWN_LENGTH: Final = 10
LINKS_MAX: Final = 20


# Facts


class NoticeLinkMade(Fact, frozen=True):
    """A link by which people read notices was made.

    Attributes:
        granted_by: id of the token that the link was made with or of the person, or `operator`.
        link_digest: of the secret in the link.
        language: in which it shows notices.
        account, reseller: whose notices it shows; with both, what is about both; neither for all.
        kinds: of notices that it shows; none for all.
    """

    link: str
    granted_by: str
    link_digest: str
    language: str
    account: str | None = None
    reseller: str | None = None
    kinds: tuple[str, ...] = ()


class NoticeLinkRevoked(Fact, frozen=True):
    """The link shows nothing any more."""

    link: str
    account: str | None = None
    reseller: str | None = None


# State


class NoticeLink(Struct, frozen=True):
    """A link as its facts make it."""

    id: str
    account: str | None
    reseller: str | None
    kinds: tuple[str, ...]
    language: str
    granted_by: str
    digest: str
    made_at: datetime
    position: int
    revoked_at: datetime | None = None

    def stands(self, granter: Granter | None) -> bool:
        """Return whether it shows anything.

        A token that expires is replaced in good time, and takes nothing with it; one that is
        revoked may have been stolen.

        Args:
            granter: who made it; None if that was neither a token nor a person.
        """
        return self.revoked_at is None and not granters.is_taken_back(
            self.granted_by, granter, self.position
        )


# By id, in no order.
NoticeLinks = Map[str, NoticeLink]


# Fold


def fold(links: NoticeLinks, events: Iterable[AnyOccurrence]) -> NoticeLinks:
    """Return an owner's links after these events."""
    for event in events:
        match event.fact:
            case NoticeLinkMade() as made:
                link = NoticeLink(
                    made.link,
                    made.account,
                    made.reseller,
                    made.kinds,
                    made.language,
                    made.granted_by,
                    made.link_digest,
                    event.occurred_at,
                    event.position,
                )
                links = links.set(link.id, link)
            case NoticeLinkRevoked(link=id) if id in links:
                links = links.set(id, replace(links[id], revoked_at=event.occurred_at))
    return links


# Decisions


def make(
    links: NoticeLinks, made: NoticeLinkMade, granted_by: Mapping[str, Granter | None]
) -> list[Fact]:
    """Return the fact that makes a link.

    Args:
        granted_by: who made the links, by id.

    Raises:
        TooManyNoticeLinks: its owner has as many as it may have.
    """
    alive = sum(link.stands(granted_by[link.granted_by]) for link in links.values())
    if alive >= LINKS_MAX:
        raise TooManyNoticeLinks(LINKS_MAX)
    return [made]


def revoke(links: NoticeLinks, id: str) -> list[Fact]:
    """Return the fact that ends a link; none if it was revoked already.

    Raises:
        NoticeLinkNotFound: never made.
    """
    link = links.get(id)
    if link is None:
        raise NoticeLinkNotFound
    if link.revoked_at is not None:
        return []
    return [NoticeLinkRevoked(link=id, account=link.account, reseller=link.reseller)]


def opened(link: NoticeLink | None, granter: Granter | None, digest: str) -> NoticeLink:
    """Return a link that may be read now.

    Raises:
        NoticeLinkNotFound: never made, or this is not its secret.
        NoticeLinkIsRevoked: it was revoked, or so was its maker's access.
    """
    if link is None or not hmac.compare_digest(link.digest, digest):
        raise NoticeLinkNotFound
    if not link.stands(granter):
        raise NoticeLinkIsRevoked
    return link


NOTICE_LINKS: Stream[NoticeLinks] = Stream(
    kind="notice_links",
    facts={
        "notice_links.made@1": NoticeLinkMade,
        "notice_links.revoked@1": NoticeLinkRevoked,
    },
    initial=Map(),
    fold=fold,
)


def owner_id(account: str | None, reseller: str | None) -> str:
    """Return the id in the stream's name for whose notices are shown; neither is all."""
    named = f"{account or ''}\0{folded(reseller or '')}"
    return letters(hashlib.sha256(named.encode()).digest())


def link_id(owner: str, own: str) -> str:
    """Return a link's id.

    Args:
        own: what tells the owner's links apart.
    """
    return f"{PREFIX}{owner}{own}"


def owner_of(id: str) -> str:
    """Return the id in the stream's name for a link's id."""
    return id.removeprefix(PREFIX)[:OWNER_LENGTH]
