"""Keys and tokens put into a ledger by the rules of their streams, without codes or secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from ledger.book import Book, Change
from ledger.events import RequestContext
from ledger.loaded import empty_stream
from ledger.reseller_names import folded
from ledger.streams import key as rules
from ledger.streams import token as token_rules
from ledger.streams.key import KEY, KeyIssued
from ledger.streams.token import TOKEN
from projections.lists.keys import KeyQuery, KeyView, key_view
from projections.views.account_at import Moment


def context(now: datetime) -> RequestContext:
    return RequestContext(now, "operator", "req_1")


def issue(
    book: Book,
    now: datetime,
    *ids: str,
    product: str = "cloud_pos",
    tier: str | None = None,
    reseller: str = "north",
    batch: str = "bat_1",
    redeem_by: datetime | None = None,
    derived: bool = True,
) -> int:
    """Issue keys `key_<id>` in one commit; answer the position of the last."""
    changes = (
        Change(
            empty_stream(KEY, id),
            [
                KeyIssued(
                    key=f"key_{id}",
                    masked=f"POS-••••-••••-{id[-4:].upper():X>4}",
                    batch=batch,
                    index=index,
                    generation=0,
                    derived=derived,
                    product=product,
                    tier=tier,
                    seats=3,
                    months=12,
                    reseller=reseller,
                    redeem_by=redeem_by,
                )
            ],
        )
        for index, id in enumerate(ids)
    )
    return book.append(context(now), *changes).position


def redeem(book: Book, now: datetime, id: str, account: str = "acme") -> int:
    loaded = book.load(KEY, id)
    facts = rules.redeem(loaded.state, account, f"kfsub_{id}", now)
    return book.append(context(now), Change(loaded, facts)).position


def revoke(book: Book, now: datetime, id: str) -> int:
    loaded = book.load(KEY, id)
    return book.append(
        context(now), Change(loaded, rules.revoke(loaded.state, None, None))
    ).position


def amend(book: Book, now: datetime, id: str, **changed: Any) -> int:
    loaded = book.load(KEY, id)
    terms = replace(rules.owned(loaded.state, None).terms, **changed)
    return book.append(
        context(now), Change(loaded, rules.amend(loaded.state, terms, None))
    ).position


def take_in_again(book: Book, now: datetime, id: str, batch: str, reseller: str) -> int:
    """Take a revoked code of elsewhere in again, if the rules let it come in."""
    loaded = book.load(KEY, id)
    if not rules.may_come_in_again(rules.owned(loaded.state, None)):
        return 0
    again = rules.KeyImportedAgain(
        batch=batch,
        index=7,
        product="cloud_pos",
        tier=None,
        seats=1,
        months=1,
        reseller=reseller,
    )
    return book.append(context(now), Change(loaded, [again])).position


def reissue(book: Book, now: datetime, id: str, successor: str) -> int:
    loaded = book.load(KEY, id)
    facts, succeeding, _ = rules.reissue(
        loaded.state,
        None,
        successor=f"key_{successor}",
        masked="POS-••••-••••-NEW2",
        reason=None,
        now=now,
    )
    new = Change(empty_stream(KEY, successor), succeeding, causation=loaded.next_event)
    return book.append(context(now), Change(loaded, facts), new).position


def create_token(
    book: Book,
    now: datetime,
    id: str,
    role: token_rules.Role = "portal",
    *,
    reseller: str | None = None,
    expires_at: datetime | None = None,
) -> int:
    facts = token_rules.create(None, f"kft_{id}", role, reseller, expires_at)
    return book.append(context(now), Change(empty_stream(TOKEN, id), facts)).position


def revoke_token(book: Book, now: datetime, id: str) -> int:
    loaded = book.load(TOKEN, id)
    return book.append(context(now), Change(loaded, token_rules.revoke(loaded.state))).position


def keys_by_loading(book: Book, query: KeyQuery, moment: Moment) -> list[KeyView]:
    """Return what the list should hold, from nothing but the keys' own streams."""
    return [view for view in _loaded(book, moment) if _fits(view, query)]


def _loaded(book: Book, moment: Moment) -> Iterator[KeyView]:
    issued = [event.stream for event in book.follow(0) if isinstance(event.fact, KeyIssued)]
    for stream in reversed(issued):
        _, events = book.history(KEY, stream.removeprefix("key-"))
        state = KEY.fold(None, filter(moment.covers, events))
        if state is not None:
            yield key_view(state, moment.at)


def _fits(view: KeyView, query: KeyQuery) -> bool:
    return all(
        wanted is None or folded(getattr(view, field) or "") == folded(wanted)
        for field, wanted in query._asdict().items()
    )
