"""Resellers: what each may order and has ordered, what became of its keys, and what ends soon.

A reseller is whoever was named as one: by keys, for a token, or by what was arranged with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.reseller_names import folded
from ledger.streams.account.subscriptions import renewed_ids
from ledger.streams.reseller import RESELLER, Reseller
from projections.answer import (
    Answer,
    Count,
    KeyId,
    Masked,
    Next,
    ProductId,
    Seats,
    SubscriptionId,
    Time,
    Used,
    doc,
)
from projections.lists.catch_up import read
from projections.lists.keys import KEY_COUNTS, KEY_LIST
from projections.lists.overview_tables import SUBSCRIPTION_LIST
from projections.lists.reseller_names import names
from projections.lists.stores.tables import Params, Tables, to_moment, to_number
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions

ENDING: Final = timedelta(days=90)
# So many of one reseller are told, those that end first first: of each in a list, and of one alone.
ENDING_IN_LIST: Final = 50
ENDING_MAX: Final = 500
_LETTERS: Final = str.maketrans("0123456789", "abcdefghij")


class AllowanceView(Answer, frozen=True):
    """Seats of a product and tier that the reseller may order."""

    product: ProductId
    tier: Annotated[str | None, doc(None, "growth")]
    granted: Annotated[Count, doc(None, 500)]
    spent: Annotated[Count, doc("On keys that it ordered and that were not revoked.", 120)]
    left: Annotated[Count, doc(None, 380)]


class OrderMax(Answer, frozen=True):
    """What one order may have at most; null for no limit but everybody's."""

    count: Annotated[int | None, doc("Keys.", 100)]
    seats: Annotated[int | None, doc("Of each key.", 50)]
    months: Annotated[int | None, doc(None, 24)]


class KeyCounts(Answer, frozen=True):
    """Keys by what they are now. Of a key and what was given in its place, one counts."""

    issued: Annotated[Count, doc("In all.", 28)] = 0
    open: Annotated[Count, doc("That can be redeemed.", 20)] = 0
    redeemed: Annotated[Count, doc(None, 7)] = 0
    revoked: Annotated[Count, doc(None, 1)] = 0
    lapsed: Annotated[Count, doc(None, 0)] = 0


class EndingKey(Answer, frozen=True):
    """A subscription that a key of the reseller's gave, and that ends within 90 days."""

    key: KeyId
    masked: Masked
    subscription: SubscriptionId
    product: ProductId
    tier: Annotated[str | None, doc(None, "growth")]
    seats: Seats
    used: Used
    expires_at: Time
    renewed: Annotated[
        bool, doc("Keys redeemed later give the account as many seats of the same after it.")
    ]


class ResellerView(Answer, frozen=True):
    """A reseller, as things stand now."""

    reseller: Annotated[str, doc(None, "Harbour Systems")]
    status: Literal["active", "suspended"]
    keys_suspended: Annotated[bool, doc("Its keys cannot be redeemed, either.")]
    allowances: list[AllowanceView]
    order_max: OrderMax
    approval_above: Annotated[
        int | None, doc("An order of more seats in all waits for the vendor.", 200)
    ]
    keys: KeyCounts
    ending_count: Annotated[Count, doc("Subscriptions of its keys that end within 90 days.", 2)]
    ending: Annotated[
        list[EndingKey],
        doc(
            f"Those that end first: at most {ENDING_IN_LIST} of each reseller in a list, and"
            f" {ENDING_MAX} of one alone. All are in `GET /v1/notices?reseller=` with"
            " `kind=subscription.ending`, but for those that have been renewed."
        ),
    ]


class ResellerList(Answer, frozen=True):
    """A page of resellers, by name."""

    items: list[ResellerView]
    next: Next


class ResellerPage(NamedTuple):
    """Some resellers, by name.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
    """

    resellers: list[ResellerView]
    next: str | None


def list_resellers(
    book: Book,
    tables: Tables,
    catalog: Catalog,
    now: datetime,
    *,
    after: str | None = None,
    limit: int,
) -> ResellerPage:
    """Return a page of resellers, in the order of their folded names.

    Args:
        after: the `next` of the page before; None for the first.
    """
    known = names(book, tables)
    left = sorted(id for id in known if after is None or id > after)
    shown = left[:limit]
    views = _views(book, tables, catalog, now, {id: known[id] for id in shown}, ENDING_IN_LIST)
    return ResellerPage(views, shown[-1] if len(left) > limit else None)


def one_reseller(
    book: Book, tables: Tables, catalog: Catalog, now: datetime, name: str
) -> ResellerView | None:
    """Return a reseller by its name in any spelling; None if nobody was ever named so."""
    id = folded(name)
    known = names(book, tables).get(id)
    if known is None:
        return None
    (view,) = _views(book, tables, catalog, now, {id: known}, ENDING_MAX)
    return view


def _views(
    book: Book,
    tables: Tables,
    catalog: Catalog,
    now: datetime,
    shown: dict[str, str],
    limit: int,
) -> list[ResellerView]:
    if not shown:
        return []
    # Names of parameters have no digits.
    places = {"id_" + str(number).translate(_LETTERS): id for number, id in enumerate(shown)}
    params: Params = {
        "now": to_number(now),
        "soon": to_number(now + ENDING),
        "limit": limit,
        **places,
    }
    which = f"AND reseller_id IN ({', '.join(f':{place}' for place in places)})"
    counted = read(book, tables, KEY_LIST, KEY_COUNTS.format(which=which), params).rows
    counts = {id: KeyCounts(*found) for id, *found in counted}
    ends = read(book, tables, SUBSCRIPTION_LIST, _ENDING.format(which=which), params).rows
    ending_counts = {id: count for id, count, *_ in ends}
    ending = _ending(book, catalog, now, ([id, *row] for id, _, *row in ends))
    arranged = book.load_many(RESELLER, list(shown))
    return [
        _view(
            name,
            arranged[id].state,
            counts.get(id, KeyCounts()),
            ending_counts.get(id, 0),
            ending[id],
        )
        for id, name in shown.items()
    ]


def _view(
    name: str, state: Reseller, counts: KeyCounts, ending_count: int, ending: list[EndingKey]
) -> ResellerView:
    allowances = sorted(
        state.allowances.items(), key=lambda one: (one[0].product, one[0].tier or "")
    )
    limits = state.limits
    return ResellerView(
        reseller=state.name or name,
        status="active" if state.suspended is None else "suspended",
        keys_suspended=state.keys_suspended,
        allowances=[
            AllowanceView(*place, one.granted, one.spent, one.left) for place, one in allowances
        ],
        order_max=OrderMax(limits.count, limits.seats, limits.months),
        approval_above=limits.approval_above,
        keys=counts,
        ending_count=ending_count,
        ending=ending,
    )


# Ending

# A subscription is the newest key's that gave it.
_ENDING: Final = f"""
    SELECT * FROM (SELECT key.reseller_id, COUNT(*) OVER (PARTITION BY key.reseller_id) AS ending,
        key.id AS key_id, key.masked, gave.id AS subscription, gave.account, gave.product,
        gave.tier, gave.seats, gave.ends_at,
        ROW_NUMBER() OVER (PARTITION BY key.reseller_id ORDER BY gave.ends_at, gave.id) AS place
    FROM {SUBSCRIPTION_LIST.table} AS gave
    JOIN keyfold_key_list_2 AS key ON key.subscription = gave.id
        AND key.ended_at IS NULL AND key.replaced_by IS NULL {{which}}
    WHERE gave.ends_at > :now AND gave.ends_at <= :soon) AS numbered
    WHERE place <= :limit ORDER BY reseller_id, place
"""  # noqa: S608 - all are ours


class _Account(NamedTuple):
    """What an account's keys have to do with what ends.

    Attributes:
        used: seats taken, by subscription.
        renewed: the ids of the subscriptions that have been.
    """

    used: Counter[str]
    renewed: set[str]


def _account(book: Book, catalog: Catalog, now: datetime, id: str) -> _Account:
    found = account_at(book, id, Moment(now))
    used = Counter[str]()
    for product in subscriptions(found, catalog).products:
        for row in product.rows:
            used[row.subscription] += row.used
    return _Account(used, renewed_ids(found.account))


def _ending(
    book: Book, catalog: Catalog, now: datetime, ends: Iterable[Sequence[Any]]
) -> defaultdict[str, list[EndingKey]]:
    found: defaultdict[str, list[EndingKey]] = defaultdict(list)
    accounts: dict[str, _Account] = {}
    for reseller, key, masked, id, account, product, tier, seats, ends_at, _ in ends:
        if account not in accounts:
            accounts[account] = _account(book, catalog, now, account)
        known = accounts[account]
        told = known.used[id], to_moment(ends_at), id in known.renewed
        found[reseller].append(EndingKey(key, masked, id, product, tier, seats, *told))
    return found
