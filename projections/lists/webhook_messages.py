"""What a message to a webhook says: an event, and how its account was just after it.

    {"id": "msg_…_43_…", "type": "account.changed", "at": "…", "position": 43, "account": "acme",
     "sequence": 2, "data": {"event": "account.seat_occupied@1", …}, "state": {"products": …}}

It is made when it is sent, each time anew, from the ledger up to its position and nothing later: a
message that is sent again says the same. Free text is in none. A reseller's webhook is told of its
own keys, and of accounts only the rows that these gave.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.events import AnyEvent
from ledger.streams.webhooks import KEY_CHANGED, TEST, Webhook, message_id
from projections.answer import AccountId, Answer, Time, doc
from projections.lists.account_states import AccountsAtPositions
from projections.lists.keys import key_view
from projections.lists.notices import summary
from projections.lists.references import FIELDS
from projections.lists.replaced_keys import as_seen
from projections.lists.stores.tables import to_moment
from projections.lists.timeline import DescribedEvent, TimelinePage, Visibility, entries
from projections.lists.webhook_audience import key_around, reseller_of
from projections.lists.webhook_queue import QueuedMessage
from projections.views.account_at import AccountAt, Moment
from projections.views.subscriptions import (
    ProductView,
    SubscriptionRow,
    SubscriptionsView,
    subscriptions,
)

_FOR_RESELLERS: Final = ("event", "recorded_at", "occurred_at", "data")


class WebhookMessage(Answer, frozen=True):
    """The body of a message."""

    id: str
    type: Annotated[str, doc(None, "account.changed")]
    at: Annotated[Time, doc("When it was recorded, by the clock of who did; `state` is of then.")]
    position: Annotated[int, Meta(ge=1)]
    account: AccountId | None
    sequence: Annotated[int, Meta(ge=1), doc("Counts the account's messages, without gaps.")]
    data: dict[str, Any]
    state: SubscriptionsView | None


def messages_of(
    book: Book,
    catalog: Catalog,
    accounts: AccountsAtPositions,
    webhook: Webhook,
    queued: Sequence[QueuedMessage],
) -> Iterator[WebhookMessage]:
    """Yield what some messages say, in their order; what they need is read together."""
    events = _events(book, {one.position for one in queued if one.notice is None})
    described = _described(book, catalog, queued, events)
    accounts.read_ahead({one.account for one in queued if one.account is not None})
    for one in queued:
        at = state_at = to_moment(one.at)
        if one.notice is None:
            id = message_id(webhook.id, events[one.position])
            data = _data(book, webhook, one, described.get(one.position))
        else:
            notice = msgspec.json.decode(one.notice)
            if (given := notice.pop("state_at", None)) is not None:
                state_at = datetime.fromisoformat(given)
            queued_at = datetime.fromisoformat(
                notice.pop("queued_at", None) or state_at.isoformat()
            )
            id = message_id(webhook.id, notice["id"].removeprefix("kfn_"))
            data = {**notice, "summary": _summary(one, notice, catalog)}
        state = None
        if one.account is not None:
            account, latest = accounts.with_latest(one.account, one.position)
            if one.notice is not None and latest is not None:
                # It may be queued after later events, which `position` covers: never before them.
                state_at = max(state_at, min(latest, queued_at))
            shown = AccountAt(one.account, account, Moment(state_at), one.position, 0, None)
            state = subscriptions(shown, catalog)
            if webhook.reseller is not None:
                state = _of_reseller(book, state, webhook)
        yield WebhookMessage(id, one.kind, at, one.position, one.account, one.sequence, data, state)


def id_of_test(book: Book, webhook: str, position: int) -> str:
    """Return the id of the message that was asked for at a position."""
    return message_id(webhook, _events(book, {position})[position])


def _events(book: Book, positions: Collection[int]) -> dict[int, AnyEvent]:
    return {one.position: one for one in book.events_at(sorted(positions))} if positions else {}


def _described(
    book: Book,
    catalog: Catalog,
    queued: Iterable[QueuedMessage],
    events: Mapping[int, AnyEvent],
) -> dict[int, DescribedEvent]:
    """Return the events that messages tell, as the timeline shows them, by their positions."""
    positions = {one.position for one in queued if one.notice is None and one.kind != TEST}
    told = [events[position] for position in sorted(positions)]
    found = entries(book, catalog, told, Visibility(texts=None))
    return {one.event.position: one for one in found}


def _summary(queued: QueuedMessage, notice: dict[str, Any], catalog: Catalog) -> str:
    subject, at = notice["subject"], to_moment(queued.at)
    return summary(notice["kind"], subject, queued.account, at, notice["facts"], catalog)


def _data(
    book: Book, webhook: Webhook, queued: QueuedMessage, described: DescribedEvent | None
) -> dict[str, Any]:
    if queued.kind == TEST:
        return {"webhook": webhook.id}
    assert described is not None, "what was recorded stays"
    event = described.event
    (view,) = TimelinePage([described], None, event.position).items
    data = {
        name: getattr(view, name)
        for name in view.__struct_fields__
        if webhook.reseller is None or name in _FOR_RESELLERS
    }
    if queued.kind == KEY_CHANGED:
        key, after = key_around(book, event)
        if after is None or webhook.is_about(after.issued.reseller):
            key = after
        else:
            data["given_away"] = True  # and what it is since then is for another to see
        views = [key_view(key, to_moment(queued.at))] if key else []
        data["key"] = next(iter(as_seen(book, views, webhook.reseller)), None)
        if webhook.reseller is not None:
            del data["data"]  # what was amended may say whose it was before
    elif webhook.reseller is not None:
        data["data"] = _without_others(book, data["data"], webhook)
    return data


def _without_others(book: Book, fact: dict[str, Any], webhook: Webhook) -> dict[str, Any]:
    """Return a fact without subscriptions that another reseller's key gave, as one it follows."""
    return {
        field: None
        if FIELDS.get(field) == "subscription"
        and value is not None
        and not webhook.is_about(reseller_of(book, value))
        else value
        for field, value in fact.items()
    }


def _of_reseller(book: Book, view: SubscriptionsView, webhook: Webhook) -> SubscriptionsView:
    """Return the rows that a reseller's keys gave, and their sums."""

    def given(rows: Iterable[SubscriptionRow]) -> list[SubscriptionRow]:
        return [
            row
            for row in rows
            if row.source == "activation_key"
            and webhook.is_about(reseller_of(book, row.subscription))
        ]

    products = []
    for product in view.products:
        rows, upcoming = given(product.rows), given(product.upcoming)
        seats = sum(row.seats for row in rows if row.status == "active")
        used = sum(row.used for row in rows)
        products.append(ProductView(product.product, product.name, seats, used, 0, rows, upcoming))
    return replace(view, products=products)
