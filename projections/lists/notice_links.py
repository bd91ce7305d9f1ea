"""The links by which people read notices, as far as they may be listed: never what opens one."""

from __future__ import annotations

from typing import Annotated, Literal

from ledger.book import Book
from ledger.streams import granters, notice_links
from ledger.streams.notice_links import NOTICE_LINKS
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
        doc("`revoked` also if its maker's access was taken back; `revoked_at` is null then."),
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
    by = granters.look_up(book.load_all, {link.granted_by for link in links})
    return [
        NoticeLinkView(
            link.id,
            link.account,
            link.reseller,
            list(link.kinds),
            link.language,
            link.made_at,
            "active" if link.stands(by[link.granted_by]) else "revoked",
            link.revoked_at,
        )
        for link in sorted(links, key=lambda one: (one.made_at, one.id), reverse=True)
    ]
