"""The links by which people read notices, as far as they may be listed: never what opens one."""

from __future__ import annotations

from typing import Annotated, Literal

from ledger.book import Book
from ledger.streams import notice_links, token
from ledger.streams.notice_links import NOTICE_LINKS
from ledger.streams.token import TOKEN
from projections.answer import AccountId, Answer, NoticeLinkId, Time, doc


class NoticeLinkView(Answer, frozen=True):
    """A link to notices; its addresses are kept nowhere."""

    id: NoticeLinkId
    account: AccountId | None
    reseller: Annotated[str | None, doc("Null, like `account`, for everything.", "Northwind")]
    kinds: Annotated[list[str], doc("Empty for all.", ["subscription.ending"])]
    language: Annotated[str, doc(None, "en")]
    made_at: Time
    status: Annotated[
        Literal["active", "revoked"],
        doc("`revoked` also if the token was that it was made with; `revoked_at` is null then."),
    ]
    revoked_at: Time | None


class NoticeLinkList(Answer, frozen=True):
    """Links to notices, the newest first."""

    items: list[NoticeLinkView]


def list_notice_links(
    book: Book, account: str | None, reseller: str | None
) -> list[NoticeLinkView]:
    """Return the links to somebody's notices, the newest first; neither for those to all."""
    links = book.load(NOTICE_LINKS, notice_links.owner_id(account, reseller)).state.values()
    granters = sorted({token.stream_id(link.granted_by) for link in links})
    loaded = book.load_all(*((TOKEN, id) for id in granters)) if granters else []
    tokens = dict(zip(granters, (one.state for one in loaded), strict=True))
    return [
        NoticeLinkView(
            link.id,
            link.account,
            link.reseller,
            list(link.kinds),
            link.language,
            link.made_at,
            "active" if link.stands(tokens[token.stream_id(link.granted_by)]) else "revoked",
            link.revoked_at,
        )
        for link in sorted(links, key=lambda one: (one.made_at, one.id), reverse=True)
    ]
