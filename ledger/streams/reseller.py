"""One reseller, by whatever spelling of its name: what it may order, and what it has ordered.

Stream:    `reseller-<folded name>` (`ledger.reseller_names`)
Facts:     ResellerNamed, SeatsGranted, SeatsSpent, SeatsGivenBack, LimitsSet, OrderingSuspended,
           OrderingResumed, StatementMade, OrderWaits, OrderSettled
Invariant: of no product and tier is more spent than was granted; one spelling of the name is kept;
           what waits fits into what was left when it was ordered.

What is spent are the seats of keys that the reseller ordered itself, from the commit that issued
them on, whoever redeems them. Revoking a key that nobody redeemed gives its seats back; that it
lapses does not. What the vendor orders for a reseller spends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from ledger import months
from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import (
    AllowanceExceeded,
    AllowanceSpent,
    FieldError,
    InvalidRequest,
    ResellerSuspended,
)
from ledger.reseller_names import folded
from ledger.translation import gettext as _

# Facts


class ResellerNamed(Fact, frozen=True):
    """Something was arranged with a reseller for the first time: how its name is spelled."""

    reseller: str


class SeatsGranted(Fact, frozen=True):
    """The reseller may order so many more seats of a product and tier; or fewer, below zero."""

    product: str
    tier: str | None
    seats: int
    reason: Sealed | None = None


class SeatsSpent(Fact, frozen=True):
    """Keys of a batch were issued for the reseller's order, or amended: that many seats in all."""

    product: str
    tier: str | None
    seats: int
    batch: str


class SeatsGivenBack(Fact, frozen=True):
    """Keys that had been spent on were revoked, became another reseller's, or have fewer seats."""

    product: str
    tier: str | None
    seats: int


class LimitsSet(Fact, frozen=True):
    """What an order of the reseller's may have at most; None for no limit but everybody's.

    Attributes:
        count, seats, months: of one order: its keys, the seats and months of each.
        approval_above: an order of more seats in all waits for the vendor.
    """

    count: int | None = None
    seats: int | None = None
    months: int | None = None
    approval_above: int | None = None


class OrderingSuspended(Fact, frozen=True):
    """The reseller may order nothing for now.

    Attributes:
        keys: nor can its keys be redeemed.
    """

    keys: bool = False
    reason: Sealed | None = None


class OrderingResumed(Fact, frozen=True):
    """All is as it was before the reseller was suspended."""

    reason: Sealed | None = None


class OrderWaits(Fact, frozen=True):
    """An order of so many seats in all waits for the vendor (`ledger.streams.order`)."""

    order: str
    product: str
    tier: str | None
    seats: int


class OrderSettled(Fact, frozen=True):
    """An order that waited was approved or declined."""

    order: str


class KeysOfMonth(Struct, frozen=True, gc=False):
    """What happened in a month to keys that give the same.

    Attributes:
        issued, seats: keys, and the seats of all of them; below zero where more was amended away
            than was issued.
    """

    product: str
    tier: str | None
    months: int
    issued: int
    seats: int
    redeemed: int
    revoked: int
    lapsed: int


class StatementMade(Fact, frozen=True):
    """A month that was over was told for the first time: that is what it says for ever.

    Attributes:
        month: as `months.name_of` has it.
        upto: the position up to which the ledger had been read. What comes after it, by whatever
            clock, is told in a later month.
        position: of the last event that was told by then, in this month or one before.
    """

    month: str
    upto: int
    position: int
    lines: tuple[KeysOfMonth, ...] = ()


# State


class Place(NamedTuple):
    """What an allowance is of."""

    product: str
    tier: str | None


class Allowance(NamedTuple):
    """Seats of a product and tier that a reseller may order, and has ordered."""

    granted: int = 0
    spent: int = 0

    @property
    def left(self) -> int:
        """Return how many seats it may still order."""
        return self.granted - self.spent


class Reseller(Struct, frozen=True):
    """A reseller as its facts make it.

    Attributes:
        name: in the spelling that is kept; None while nothing was arranged with it.
        suspended: since when it is; None while it is not.
        keys_suspended: nor can its keys be redeemed.
        statements: that were made, by month.
        waiting: orders that wait for the vendor, by their ids.
    """

    name: str | None = None
    allowances: dict[Place, Allowance] = {}
    limits: LimitsSet = LimitsSet()
    suspended: datetime | None = None
    keys_suspended: bool = False
    statements: dict[str, StatementMade] = {}
    waiting: dict[str, OrderWaits] = {}

    def told_in(self, at: datetime, position: int) -> str:
        """Return the month in which is told what happened at a moment, and is at a position.

        That is the moment's own, whatever other clocks said; or the first after it of which no
        statement had been made before.
        """
        month = months.name_of(at)
        while (made := self.statements.get(month)) is not None and made.upto < position:
            month = months.after(month)
        return month

    def allowance(self, product: str, tier: str | None) -> Allowance:
        """Return what it may order of a product and tier."""
        return self.allowances.get(Place(product, tier), Allowance())


class Ordered(Struct, frozen=True):
    """What a reseller orders."""

    product: str
    tier: str | None
    seats: int
    months: int
    count: int

    @property
    def in_all(self) -> int:
        """Return the seats of all its keys."""
        return self.seats * self.count


# Fold


def fold(reseller: Reseller, events: Iterable[AnyOccurrence]) -> Reseller:
    """Return the reseller after these events."""
    allowances, events = dict(reseller.allowances), list(events)
    facts = [event.fact for event in events]
    made = {fact.month: fact for fact in facts if isinstance(fact, StatementMade)}

    def add(fact: SeatsGranted | SeatsSpent | SeatsGivenBack, granted: int, spent: int) -> None:
        place = Place(fact.product, fact.tier)
        was = allowances.get(place, Allowance())
        allowances[place] = Allowance(was.granted + granted, was.spent + spent)

    for event in events:
        match event.fact:
            case ResellerNamed(reseller=name):
                reseller = replace(reseller, name=name)
            case SeatsGranted(seats=seats) as fact:
                add(fact, seats, 0)
            case SeatsSpent(seats=seats) as fact:
                add(fact, 0, seats)
            case SeatsGivenBack(seats=seats) as fact:
                add(fact, 0, -seats)
            case LimitsSet() as limits:
                reseller = replace(reseller, limits=limits)
            case OrderingSuspended(keys=keys):
                reseller = replace(reseller, suspended=event.occurred_at, keys_suspended=keys)
            case OrderingResumed():
                reseller = replace(reseller, suspended=None, keys_suspended=False)
    waiting = _still_waiting(reseller.waiting, facts)
    statements = reseller.statements | made
    return replace(reseller, allowances=allowances, statements=statements, waiting=waiting)


def _still_waiting(waiting: dict[str, OrderWaits], facts: Iterable[Fact]) -> dict[str, OrderWaits]:
    waiting = dict(waiting)
    for fact in facts:
        if isinstance(fact, OrderWaits):
            waiting[fact.order] = fact
        elif isinstance(fact, OrderSettled):
            waiting.pop(fact.order, None)
    return waiting


# Decisions


def name(reseller: Reseller, kept: str) -> list[Fact]:
    """Return the fact that keeps a spelling; none if one is kept."""
    return [] if reseller.name is not None else [ResellerNamed(reseller=kept)]


def grant(
    reseller: Reseller, product: str, tier: str | None, seats: int, reason: Sealed | None
) -> list[Fact]:
    """Return the fact that lets the reseller order more seats, or fewer.

    Raises:
        AllowanceSpent: so many are spent already that fewer cannot be granted.
    """
    allowance = reseller.allowance(product, tier)
    if seats < 0 and allowance.left + seats < 0:
        raise AllowanceSpent(max(allowance.left, 0))
    return [SeatsGranted(product=product, tier=tier, seats=seats, reason=reason)]


def limit(reseller: Reseller, limits: LimitsSet) -> list[Fact]:
    """Return the fact that sets what an order may have at most; none if it is so."""
    return [] if reseller.limits == limits else [limits]


def admit(reseller: Reseller, ordered: Ordered) -> None:
    """Let the reseller order.

    Raises:
        ResellerSuspended, InvalidRequest (beyond its limits), AllowanceExceeded: in this order.
    """
    if reseller.suspended is not None:
        raise ResellerSuspended
    limits = reseller.limits
    errors = [
        FieldError(
            f"/{field}",
            _("must be at most %(most)s, which is what was arranged with you", most=most),
        )
        for field in ("count", "seats", "months")
        if (most := getattr(limits, field)) is not None and getattr(ordered, field) > most
    ]
    if errors:
        raise InvalidRequest(*errors)
    afford(reseller, ordered.product, ordered.tier, ordered.in_all)


def afford(reseller: Reseller, product: str, tier: str | None, seats: int) -> None:
    """Let so many more seats be spent.

    Raises:
        AllowanceExceeded: more than is left.
    """
    left = reseller.allowance(product, tier).left
    if seats > left:
        raise AllowanceExceeded(max(left, 0))


def waits(reseller: Reseller, ordered: Ordered) -> bool:
    """Return whether an order has to be approved by the vendor first."""
    above = reseller.limits.approval_above
    return above is not None and ordered.in_all > above


def let_wait(reseller: Reseller, order: str, ordered: Ordered) -> list[Fact]:
    """Return the fact that lets an order wait, which reserves nothing.

    Raises:
        AllowanceExceeded: more than is left beside what waits already, so that nobody can have
            more wait than could ever be approved.
    """
    product, tier = ordered.product, ordered.tier
    others = sum(
        one.seats for one in reseller.waiting.values() if (one.product, one.tier) == (product, tier)
    )
    left = reseller.allowance(product, tier).left - others
    if ordered.in_all > left:
        raise AllowanceExceeded(max(left, 0))
    return [OrderWaits(order=order, product=product, tier=tier, seats=ordered.in_all)]


def settle(reseller: Reseller, order: str) -> list[Fact]:
    """Return the fact that an order waits no more; none if it is not known to wait."""
    return [OrderSettled(order=order)] if order in reseller.waiting else []


def suspend(reseller: Reseller, reason: Sealed | None, *, keys: bool) -> list[Fact]:
    """Return the fact that lets the reseller order nothing; none if it is suspended like that."""
    if reseller.suspended is not None and reseller.keys_suspended == keys:
        return []
    return [OrderingSuspended(keys=keys, reason=reason)]


def resume(reseller: Reseller, reason: Sealed | None) -> list[Fact]:
    """Return the fact that lets the reseller order again; none if it may."""
    return [] if reseller.suspended is None else [OrderingResumed(reason=reason)]


def make_statement(reseller: Reseller, statement: StatementMade) -> list[Fact]:
    """Return the fact that keeps what a month says; none if it was told before."""
    return [] if statement.month in reseller.statements else [statement]


RESELLER: Stream[Reseller] = Stream(
    kind="reseller",
    facts={
        "reseller.named@1": ResellerNamed,
        "reseller.seats_granted@1": SeatsGranted,
        "reseller.seats_spent@1": SeatsSpent,
        "reseller.seats_given_back@1": SeatsGivenBack,
        "reseller.limits_set@1": LimitsSet,
        "reseller.suspended@1": OrderingSuspended,
        "reseller.resumed@1": OrderingResumed,
        "reseller.statement_made@1": StatementMade,
        "reseller.order_waits@1": OrderWaits,
        "reseller.order_settled@1": OrderSettled,
    },
    initial=Reseller(),
    fold=fold,
)


def stream_id(name: str) -> str:
    """Return the id in the stream's name for a reseller's name."""
    return folded(name)
