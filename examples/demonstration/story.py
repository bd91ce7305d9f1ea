"""The world of the demonstration, told as commands at moments of the past months.

    harbour-hotel   Cloud POS 3 seats, 2 taken; Integrations Growth, full
    corner-bakery   Cloud POS 2 seats, 6 taken: 4 are over, since a row of 5 seats has ended
    tea-house       Cloud POS 2 seats, full; a seat refused; a session locked out minutes ago
    museum-shop     Cloud POS, a row that expires within days; Integrations Starter
    garden-centre   Integrations Scale 4 seats, 3 taken; a holder refused in another tier
    book-barge      a subscription that was terminated

Its keys are issued, redeemed, revoked, lapsed, and reissued before and after redemption. Told at
the same moment under the same secret, it is the same world.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final, NamedTuple

from commands.change_subscription import terminate_subscription
from commands.issue_keys import Issued, Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.release_seat import release_seat
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger import codes
from ledger.events import RequestContext
from ledger.refusals import (
    HolderInOtherTier,
    InvalidKeyFormat,
    KeyNotAvailable,
    NoSeatAvailable,
    Refusal,
    TooManyAttempts,
    WrongProduct,
)

ACTOR: Final = "operator"
REQUEST_PREFIX: Final = "req_demo"
REQUEST_DIGITS: Final = 22
SCOPE: Final = "demo"

POS: Final = "cloud_pos"
INTEGRATIONS: Final = "integrations"

ALPINE: Final = "Alpine Tills"
COASTLINE: Final = "Coastline Systems"

HOTEL: Final = "harbour-hotel"
BAKERY: Final = "corner-bakery"
TEA_HOUSE: Final = "tea-house"
MUSEUM: Final = "museum-shop"
GARDEN: Final = "garden-centre"
BARGE: Final = "book-barge"

SPARE: Final = Order(POS, None, 5, 12, 20, ALPINE, note="For you to redeem")


def tell(services: Services, now: datetime, *, test_clock: bool) -> None:
    """Tell the whole story, up to minutes before now, into an empty ledger."""
    teller = _Teller(services, now, test_clock)
    orders = _orders_of_last_year(teller)
    _grow(teller, orders)
    _later_customers(teller, orders)
    _last_days(teller, orders)


def spare_order(number: int) -> str:
    """Return the idempotency key of an order of keys that nobody in the story redeems."""
    return f"spare-{number}"


class _Orders(NamedTuple):
    """What the resellers ordered first, by what it gives."""

    tills: Issued
    growth: Issued
    pairs: Issued
    half_year: Issued


class _Teller:
    """Runs commands at moments of the past, one after the other."""

    def __init__(self, services: Services, now: datetime, test_clock: bool) -> None:
        self._services = services
        self._now = now
        self._test_clock = test_clock
        self._at = datetime.min.replace(tzinfo=UTC)
        self._told = 0

    def day(self, days_ago: int, clock_time: str) -> None:
        """Let it be a time of an earlier day."""
        self._be(self.moment(days_ago, clock_time))

    def minutes_ago(self, minutes: float) -> None:
        self._be(self._now - timedelta(minutes=minutes))

    def moment(self, days_ago: int, clock_time: str) -> datetime:
        """Return a time of the day so many days ago, in UTC."""
        day = (self._now - timedelta(days=days_ago)).date()
        return datetime.combine(day, time.fromisoformat(clock_time), UTC)

    def order(self, name: str, order: Order) -> Issued:
        """Order keys and return them; the same name orders them once."""
        return issue_keys(self._services, self._context(), order, idempotency_key=name, scope=SCOPE)

    def redeem(
        self, account: str, code: str, product: str | None = None, session: str = "visit-1"
    ) -> str:
        """Redeem a code and return the id of its subscription."""
        wanted = Try(account, session, code, product)
        return redeem_key(self._services, self._context(), wanted).subscription

    def seat(
        self, account: str, product: str, tier: str | None, holder: str, label: str | None = None
    ) -> None:
        occupy_seat(self._services, self._context(), Sitting(account, product, tier, holder, label))

    def release(self, account: str, product: str, holder: str) -> None:
        release_seat(self._services, self._context(), account, product, holder)

    def revoke(self, key_id: str, reason: str) -> None:
        revoke_key(self._services, self._context(), key_id, reason)

    def reissue(self, key_id: str, reason: str) -> None:
        reissue_key(self._services, self._context(), key_id, reason)

    def terminate(self, account: str, subscription: str, reason: str) -> None:
        terminate_subscription(self._services, self._context(), account, subscription, reason)

    def _be(self, at: datetime) -> None:
        assert self._at < at < self._now, "the story is told in order, and is over by now"
        self._at = at

    def _context(self) -> RequestContext:
        self._told += 1
        # Some seconds pass with everything that happens.
        self._at += timedelta(seconds=7)
        digest = codes.digest(b"demonstration", str(self._told))[:REQUEST_DIGITS]
        return RequestContext(self._at, ACTOR, REQUEST_PREFIX + digest, self._test_clock)


def _orders_of_last_year(teller: _Teller) -> _Orders:
    teller.day(330, "09:10")
    tills = teller.order(
        "tills", Order(POS, None, 3, 12, 6, ALPINE, note="First order of the season")
    )
    teller.day(310, "14:20")
    teller.redeem(HOTEL, tills.keys[0].code, POS)
    teller.seat(HOTEL, POS, None, "till-1", "Front desk")
    teller.seat(HOTEL, POS, None, "till-2", "Bar")
    teller.seat(HOTEL, POS, None, "till-3", "Pool, in summer")
    teller.day(250, "10:00")
    growth = teller.order("growth", Order(INTEGRATIONS, "growth", 2, 12, 3, COASTLINE))
    teller.day(248, "11:05")
    teller.redeem(HOTEL, growth.keys[0].code, INTEGRATIONS)
    teller.seat(HOTEL, INTEGRATIONS, "growth", "booking-site", "Booking site")
    teller.seat(HOTEL, INTEGRATIONS, "growth", "accounting", "Accounting")
    teller.revoke(growth.keys[2].id, "Ordered one too many")
    teller.day(200, "09:00")
    half_year = teller.order("half-year", Order(POS, None, 5, 6, 2, ALPINE))
    pairs = teller.order("pairs", Order(POS, None, 2, 12, 6, COASTLINE, note="Starter boxes"))
    return _Orders(tills, growth, pairs, half_year)


def _grow(teller: _Teller, orders: _Orders) -> None:
    teller.day(195, "08:15")
    teller.redeem(BAKERY, orders.half_year.keys[0].code, POS)
    for number in range(1, 5):
        teller.seat(BAKERY, POS, None, f"till-{number}", f"Counter {number}")
    teller.day(170, "16:40")
    teller.redeem(BAKERY, orders.pairs.keys[0].code, POS)
    teller.seat(BAKERY, POS, None, "till-5", "Market stall")
    teller.seat(BAKERY, POS, None, "till-6", "Van")
    teller.day(140, "10:30")
    teller.reissue(orders.tills.keys[1].id, "The card went to the wrong shop")
    teller.reissue(orders.pairs.keys[0].id, "The code was on a photo")
    teller.release(HOTEL, POS, "till-3")
    teller.day(120, "13:00")
    teller.redeem(TEA_HOUSE, orders.pairs.keys[1].code, POS)
    teller.seat(TEA_HOUSE, POS, None, "till-1", "Downstairs")
    teller.seat(TEA_HOUSE, POS, None, "till-2", "Upstairs")


def _later_customers(teller: _Teller, orders: _Orders) -> None:
    teller.day(86, "09:45")
    quarter = teller.order("quarter", Order(POS, None, 2, 3, 2, ALPINE))
    starter = teller.order("starter", Order(INTEGRATIONS, "starter", 1, 12, 3, COASTLINE))
    teller.day(85, "15:30")
    teller.redeem(MUSEUM, quarter.keys[0].code, POS)
    teller.seat(MUSEUM, POS, None, "till-1", "Ticket desk")
    teller.redeem(MUSEUM, starter.keys[0].code, INTEGRATIONS)
    teller.seat(MUSEUM, INTEGRATIONS, "starter", "webshop", "Web shop")
    teller.day(60, "12:00")
    scale = teller.order("scale", Order(INTEGRATIONS, "scale", 4, 24, 2, COASTLINE))
    teller.day(58, "09:20")
    teller.redeem(GARDEN, scale.keys[0].code, INTEGRATIONS)
    for holder, label in (("webshop", "Web shop"), ("warehouse", "Stock"), ("accounting", None)):
        teller.seat(GARDEN, INTEGRATIONS, "scale", holder, label)
    teller.seat(GARDEN, INTEGRATIONS, "scale", "warehouse", "Warehouse")
    downgrade = partial(teller.seat, GARDEN, INTEGRATIONS, "starter", "webshop")
    _expect(HolderInOtherTier, downgrade)
    teller.day(40, "11:00")
    barge = teller.redeem(BARGE, orders.tills.keys[2].code, POS)
    teller.seat(BARGE, POS, None, "till-1", "On deck")
    teller.day(18, "17:00")
    teller.terminate(BARGE, barge, "Paid back: the barge is sold")


def _last_days(teller: _Teller, orders: _Orders) -> None:
    teller.day(12, "09:30")
    offer = Order(POS, None, 1, 12, 2, ALPINE, teller.moment(5, "00:00"), "A week to redeem them")
    offered = teller.order("offer", offer)
    teller.day(3, "10:15")
    teller.order(spare_order(1), SPARE)
    teller.day(2, "12:40")
    _expect(NoSeatAvailable, partial(teller.seat, TEA_HOUSE, POS, None, "till-3", "Garden"))
    tries: tuple[tuple[type[Refusal], str], ...] = (
        (InvalidKeyFormat, "POS-0000-1111-0000"),
        (WrongProduct, orders.growth.keys[1].code),
        (KeyNotAvailable, orders.tills.keys[0].code),
        (KeyNotAvailable, orders.tills.keys[1].code),
        (KeyNotAvailable, offered.keys[0].code),
        (TooManyAttempts, orders.half_year.keys[1].code),
    )
    for place, (refusal, code) in enumerate(tries):
        teller.minutes_ago(6 - place / 2)
        _expect(refusal, partial(teller.redeem, TEA_HOUSE, code, POS, "kiosk"))


def _expect(refusal: type[Refusal], command: Callable[[], object]) -> None:
    try:
        command()
    except refusal:
        return
    raise AssertionError(f"the story has {refusal.code} here")
