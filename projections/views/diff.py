"""What became different between two moments of an account, and which events did it.

    2026-03-01 … 2026-09-01
      Key POS-••••-••••-AAAA expired: 5 Cloud POS seats                       because of position 12
      Holder till-3 may work no more: more hold seats than there are          because of position 12
      Cloud POS: seats 8 → 3, over 0 → 1                                      because of position 12

An account at a moment is drawn as a *picture*: each subscription, each taken seat and each pool by
itself. A difference is one of these things that is not what it was; the picture of the one moment
with all differences applied is that of the other. What only time did is put down to the event that
said when it would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from msgspec.structs import asdict

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.events import AnyEvent
from ledger.sealing import Texts
from ledger.streams.account.facts import (
    AccountErased,
    SeatOccupied,
    SeatPassedOn,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionImported,
    SubscriptionRescheduled,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionTakenOver,
)
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripePricesMapped, StripeSubscriptionReported
from ledger.stripe.subscriptions import StripeSubscription, subscription_id
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.answer import AccountId, Answer, Position, Positions, ProductId, Time, doc
from projections.text.formatting import ERASED, NOT_SHOWN, a_seat, day, place
from projections.text.formatting import seats as so_many
from projections.text.words import word
from projections.views.account_at import AccountAt, Moment
from projections.views.seats import seats

# A thing's kind and what it is known by; and what there is to know of it.
Thing = tuple[str, ...]
Fields = dict[str, Any]
Picture = Mapping[Thing, Fields]
_SETS_END = (
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionImported,
    SubscriptionRescheduled,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionTakenOver,
)


class Difference(NamedTuple):
    """A thing that is not what it was.

    Attributes:
        thing: `subscription`, its id, product and tier; `seat`, product and holder; or `pool`,
            product and tier. A tier that there is not is an empty text.
        was, now: what there is to know of it; None when there was no such thing.
        positions: of the events that did it, in order.
    """

    thing: Thing
    was: Fields | None
    now: Fields | None
    summary: str
    positions: list[int]


class Diff(NamedTuple):
    """What is different at `end` from what was at `start`."""

    account: str
    start: datetime
    end: datetime
    known_at: datetime
    position: int
    differences: list[Difference]


class ThingView(Answer, frozen=True):
    """What is different: a subscription, a taken seat, or a pool."""

    kind: Literal["subscription", "seat", "pool"]
    subscription: str | None
    product: ProductId
    tier: str | None
    holder: str | None


class DifferenceView(Answer, frozen=True):
    """A difference as JSON has it."""

    thing: ThingView
    was: Annotated[Fields | None, doc("Null when there was no such thing.")]
    now: Annotated[Fields | None, doc("Null when there is no such thing any more.")]
    summary: Annotated[str, doc(None, "Holder till-1 has a Cloud POS seat")]
    positions: Positions


class DiffView(Answer, frozen=True, rename={"start": "from", "end": "to"}):
    """The differences between two moments, as JSON has them."""

    account: AccountId
    start: Time
    end: Time
    known_at: Time
    position: Position
    items: list[DifferenceView]


def diff_view(found: Diff, texts: Texts | None) -> DiffView:
    """Return a diff as JSON has it, with the labels of seats opened.

    Args:
        texts: None for a reader that may not see them.
    """
    pictures = [one for found_one in found.differences for one in (found_one.was, found_one.now)]
    sealed = [one["label"] for one in pictures if one and one.get("label") is not None]
    opened = texts.open_all(sealed) if texts else [None] * len(sealed)
    labels = dict(zip(sealed, opened, strict=True))

    def shown(fields: Fields | None) -> Fields | None:
        if fields is None or fields.get("label") is None:
            return fields
        label = NOT_SHOWN if texts is None else labels[fields["label"]] or ERASED
        return {**fields, "label": label}

    items = [
        DifferenceView(
            _thing(*one.thing), shown(one.was), shown(one.now), one.summary, one.positions
        )
        for one in found.differences
    ]
    return DiffView(found.account, found.start, found.end, found.known_at, found.position, items)


def _thing(kind: str, *names: str) -> ThingView:
    match kind:
        case "subscription":
            subscription, product, tier = names
            return ThingView(kind, subscription, product, tier or None, None)
        case "seat":
            product, holder = names
            return ThingView(kind, None, product, None, holder)
        case _:
            product, tier = names
            return ThingView("pool", None, product, tier or None, None)


def diff(
    book: Book,
    id: str,
    catalog: Catalog,
    start: datetime,
    end: datetime | None,
    *,
    now: datetime,
    known_at: datetime | None = None,
) -> Diff:
    """Return what is different at `end` from what was at `start`.

    Args:
        end: now, if left out; a later moment shows what will be if nothing more happens.
        known_at: use only what had been recorded by then.
    """
    head, events = book.history(ACCOUNT, id)
    before, after = Moment(now, start, known_at), Moment(now, end, known_at)
    was, is_ = (_at(id, events, moment, head) for moment in (before, after))
    changed = [event for event in events if before.covers(event) != after.covers(event)]
    told = [event for event in events if before.covers(event) or after.covers(event)]
    found = differences(was, is_, changed, catalog, _ends_set(told))
    return Diff(id, start, end or now, known_at or now, head, found)


def picture(state: AccountAt, catalog: Catalog) -> Picture:
    """Return all things of an account at a moment, by kind and id, with their fields."""
    found = dict(_subscriptions(state.account, state.moment.at))
    view = seats(state, catalog)
    for seat in view.items:
        fields = asdict(seat)
        found["seat", fields.pop("product"), fields.pop("holder")] = fields
    for total in view.totals:
        if total.seats or total.used:
            standing = {"seats": total.seats, "used": total.used, "over": total.over}
            found["pool", total.product, total.tier or ""] = standing
    return found


def applied(was: Picture, differences: Iterable[Difference]) -> Picture:
    """Return the picture that differences make of another."""
    now = dict(was)
    for one in differences:
        if one.now is None:
            del now[one.thing]
        else:
            now[one.thing] = one.now
    return now


def differences(
    was: AccountAt,
    is_: AccountAt,
    changed: list[AnyEvent],
    catalog: Catalog,
    ends_set: Mapping[str, int] | None = None,
) -> list[Difference]:
    """Return what is different between an account at two moments.

    Args:
        changed: the events that count at the one moment, and not at the other.
        ends_set: by subscription, the position of the event that says when it begins and ends;
            where there is none, that of the event which put it on the account.
    """
    before, after = picture(was, catalog), picture(is_, catalog)
    things = [thing for thing in {**after, **before} if before.get(thing) != after.get(thing)]
    spans = _began(was.account) | _began(is_.account) | dict(ends_set or {})
    causes = _Causes(spans, changed, things)
    order = {"subscription": 0, "seat": 1, "pool": 2}
    return [
        Difference(
            thing,
            before.get(thing),
            after.get(thing),
            _description(thing, before.get(thing), after.get(thing), catalog),
            causes.of(thing, before.get(thing), after.get(thing)),
        )
        for thing in sorted(things, key=lambda thing: (order[thing[0]], thing))
    ]


# Drawing


def _at(id: str, events: list[AnyEvent], moment: Moment, head: int) -> AccountAt:
    account = ACCOUNT.fold(ACCOUNT.initial, filter(moment.covers, events))
    return AccountAt(id, account, moment, head, len(events))


def _subscriptions(account: Account, at: datetime) -> Iterator[tuple[Thing, Fields]]:
    for one in account.subscriptions.values():
        yield (
            ("subscription", one.id, one.product, one.tier or ""),
            {
                "seats": one.seats,
                "source": "activation_key",
                "known_by": one.masked,
                "status": one.status(at),
                "gives": one.status(at) == "active",
                "started_at": one.started_at,
                "expires_at": one.expires_at,
            },
        )
    for stripe in account.stripe.subscriptions.values():
        yield from _of_stripe(account, stripe, at)


def _of_stripe(
    account: Account, one: StripeSubscription, at: datetime
) -> Iterator[tuple[Thing, Fields]]:
    giving = {(row.product, row.tier) for row in one.provides(account.stripe.mapped, at)}
    for row in one.rows(account.stripe.mapped):
        yield (
            ("subscription", one.subscription, row.product, row.tier or ""),
            {
                "seats": row.seats,
                "source": "stripe",
                "known_by": one.id,
                "status": one.status(at, row),
                "gives": (row.product, row.tier) in giving,
                "started_at": one.started_at,
                "expires_at": row.expires_at,
            },
        )


# Causes


class _Causes:
    """Which events made which thing different."""

    def __init__(
        self, spans: Mapping[str, int], changed: list[AnyEvent], things: list[Thing]
    ) -> None:
        self._spans = spans
        self._changed = changed
        self._things = things

    def of(self, thing: Thing, was: Fields | None, now: Fields | None) -> list[int]:
        """Return the positions of the events that made a thing different, ascending."""
        kind, *_ = thing
        if kind == "subscription":
            found = self._of_subscription(thing)
        elif kind == "pool":
            found = self._of_pool(thing[1], thing[2])
        else:
            found = self._of_seat(thing, was, now)
        return sorted(found)

    def _of_subscription(self, thing: Thing) -> set[int]:
        found = {e.position for e in self._changed if thing[1] in _subscriptions_of(e)}
        mapped = {e.position for e in self._changed if isinstance(e.fact, StripePricesMapped)}
        # Time alone has changed it: as the event said that set its beginning and its end.
        return found or mapped or {self._spans[thing[1]]}

    def _of_seat(self, thing: Thing, was: Fields | None, now: Fields | None) -> set[int]:
        _, product, holder = thing
        own = {
            event.position
            for event in self._changed
            if holder
            in (getattr(event.fact, "holder", None), getattr(event.fact, "predecessor", None))
            and getattr(event.fact, "product", None) == product
        }
        if was is None or now is None:
            return own
        if was["label"] != now["label"]:
            own |= {e.position for e in self._changed if isinstance(e.fact, AccountErased)}
        derived = ("licensed", "subscription", "reason")
        if any(was[name] != now[name] for name in derived):
            own |= self._of_pool(product, now["tier"] or "")
        return own

    def _of_pool(self, product: str, tier: str) -> set[int]:
        rows = [
            thing
            for thing in self._things
            if thing[0] == "subscription" and thing[2:] == (product, tier)
        ]
        sat = {
            event.position
            for event in self._changed
            if isinstance(event.fact, SeatOccupied | SeatPassedOn | SeatReleased)
            and (event.fact.product, event.fact.tier or "") == (product, tier)
        }
        return sat.union(*(self._of_subscription(row) for row in rows))


def _began(account: Account) -> dict[str, int]:
    keyed = {one.id: one.position for one in account.subscriptions.values()}
    stripe = {one.subscription: one.position for one in account.stripe.subscriptions.values()}
    return keyed | stripe


def _ends_set(events: Iterable[AnyEvent]) -> dict[str, int]:
    """Return by subscription of a key the position of the last event that set its end."""
    return {
        event.fact.subscription: event.position
        for event in events
        if isinstance(event.fact, _SETS_END)
    }


def _subscriptions_of(event: AnyEvent) -> set[str]:
    """Return which subscriptions of ours an event is about."""
    if isinstance(event.fact, StripeSubscriptionReported):
        return {subscription_id(event.fact.stripe_subscription)}
    named = getattr(event.fact, "subscription", None)
    return {named} if isinstance(named, str) else set()


# Telling


def _description(thing: Thing, was: Fields | None, now: Fields | None, catalog: Catalog) -> str:
    kind, *names = thing
    match kind:
        case "subscription":
            return _of_row(names[1], names[2] or None, was, now, catalog)
        case "seat":
            return _of_holder(names[0], names[1], was, now, catalog)
        case _:
            return _of_standing(place(catalog, names[0], names[1] or None), was, now)


def _of_row(
    product: str, tier: str | None, was: Fields | None, now: Fields | None, catalog: Catalog
) -> str:
    fields = now or was or {}
    name = (
        _("Key %(key)s", key=fields["known_by"])
        if fields["source"] == "activation_key"
        else _("Stripe subscription %(subscription)s", subscription=fields["known_by"])
    )
    given = so_many(catalog, fields["seats"], product, tier)
    if was is None:
        return _came(name, fields, given)
    if now is None:
        at = place(catalog, product, tier)
        return _("%(name)s gives no %(place)s seats any more", name=name, place=at)
    if was["status"] != now["status"]:
        return _(
            "%(name)s is %(now)s, was %(was)s: %(seats)s",
            name=name,
            now=word(now["status"]),
            was=word(was["status"]),
            seats=given,
        )
    changes = _changes(was, now, ("seats", "known_by", "started_at", "expires_at", "gives"))
    return f"{name}: {changes}"


def _came(name: str, fields: Fields, given: str) -> str:
    if fields["expires_at"]:
        end = day(fields["expires_at"])
        given = _("%(seats)s until %(end)s", seats=given, end=end)
    if fields["gives"]:
        return _("%(name)s gives %(seats)s", name=name, seats=given)
    return _(
        "%(name)s is %(status)s: %(seats)s", name=name, status=word(fields["status"]), seats=given
    )


def _of_holder(
    product: str, holder: str, was: Fields | None, now: Fields | None, catalog: Catalog
) -> str:
    tier = (now or was or {})["tier"]
    at = place(catalog, product, tier)
    if was is None:
        seat = a_seat(catalog, product, tier)
        if now and now["licensed"]:
            return _("Holder %(holder)s has %(seat)s", holder=holder, seat=seat)
        return _("Holder %(holder)s has %(seat)s, and may not work", holder=holder, seat=seat)
    if now is None:
        return _("Holder %(holder)s has no %(place)s seat any more", holder=holder, place=at)
    if was["licensed"] != now["licensed"]:
        if now["licensed"]:
            return _("Holder %(holder)s may work again in %(place)s", holder=holder, place=at)
        return _(
            "Holder %(holder)s may not work any more in %(place)s: %(why)s",
            holder=holder,
            place=at,
            why=_(UNLICENSED[now["reason"]]),
        )
    changed = _changes(was, now, ("tier", "occupied_at", "subscription", "reason"))
    return _(
        "Holder %(holder)s in %(place)s: %(changes)s",
        holder=holder,
        place=at,
        changes=changed or _("another label"),
    )


UNLICENSED = {
    "over": _n("more hold seats than there are, and it came late"),
    "no_active_subscription": _n("nothing active provides seats"),
}


def _of_standing(at: str, was: Fields | None, now: Fields | None) -> str:
    none = {"seats": 0, "used": 0, "over": 0}
    return f"{at}: {_changes(was or none, now or none, tuple(none))}"


def _changes(was: Fields, now: Fields, names: tuple[str, ...]) -> str:
    return ", ".join(
        f"{word(name)} {_short(was[name])} → {_short(now[name])}"
        for name in names
        if was[name] != now[name]
    )


def _short(value: Any) -> str:
    if isinstance(value, datetime):
        return day(value)
    return _("none") if value is None else str(value)
