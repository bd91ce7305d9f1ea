"""Why may this holder work, or not? The rule that decided, what it read, and what would help.

    Holder till-6 may not work: 6 hold 2 Cloud POS seats, and it came in 6th.
      rule    over
      facts   Key POS-••••-••••-BBBB gives 2 Cloud POS seats until 24 May 2027
              Key POS-••••-••••-AAAA gave 5 Cloud POS seats until it expired on 9 Nov 2026
      mend    It may work again once there are 4 more seats …

The last that happened to the holder counts: a refusal after its last coming and going, or how it
sits. `projections.views.explain_code` does the same for a code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.events import AnyEvent
from ledger.pool import Filled
from ledger.streams.account.facts import SeatOccupied, SeatPassedOn, SeatReleased
from ledger.streams.account.state import Account, Seat
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS, SeatRefused
from projections.answer import AccountAnswer, Positions, doc
from projections.text.formatting import a_seat, counted, day, minute, place, seats, title
from projections.views.account_at import AccountAt, Moment
from projections.views.seat_sources import Provided, earlier, giving, next_loss

HOLDERS_MAX: Final = 20


class Explanation(AccountAnswer, frozen=True):
    """Why something is as it is."""

    answer: Annotated[
        str, doc(None, "Holder till-3 may not work: 3 hold 2 Cloud POS seats, and it came in 3rd.")
    ]
    rule: Annotated[str, doc("What decided.", "over")]
    code: Annotated[str | None, doc("Of the refusal; null when all is well.", "over")]
    facts: Annotated[list[str], doc("What the rule read.")]
    positions: Positions
    mend: Annotated[str | None, doc("What would make it work; null when nothing is needed.")]


class Reason(NamedTuple):
    """An explanation's own part."""

    answer: str
    rule: str
    code: str | None
    facts: Sequence[str]
    positions: Iterable[int]
    mend: str | None


def explain_holder(
    book: Book, id: str, moment: Moment, catalog: Catalog, product: str, holder: str
) -> Explanation:
    """Return why a holder may work, may not, was refused a seat, or has none."""
    state, events = read_account(book, id, moment)
    attempts = read_attempts(book, id, state.moment)
    kinds = SeatOccupied, SeatPassedOn, SeatReleased
    mine = [
        e
        for e in events
        if _is(e.fact, product, holder, *kinds) or _passed_on(e.fact, product, holder)
    ]
    refusals = [e for e in attempts if _is(e.fact, product, holder, SeatRefused)]
    last = max((e.position for e in mine), default=0)
    seat = state.account.seat(product, holder)
    of = _Holder(state, events, catalog, product, holder)
    if refusals and refusals[-1].position > last:
        reason = of.why_refused(refusals[-1], seat)
    elif seat is not None:
        reason = of.why_seated(seat)
    else:
        reason = of.why_unseated(mine)
    return explained(state, reason)


def explained(state: AccountAt, reason: Reason) -> Explanation:
    """Return the explanation of an account; one about the future says so."""
    answer = reason.answer
    if state.moment.at > state.moment.now:
        answer = f"On {minute(state.moment.at)}, if nothing more happens: {answer}"
    return Explanation(
        *state.header,
        answer,
        reason.rule,
        reason.code,
        list(reason.facts),
        sorted(set(reason.positions)),
        reason.mend,
    )


def read_account(book: Book, id: str, moment: Moment) -> tuple[AccountAt, list[AnyEvent]]:
    """Return an account at a moment, and the events that count at it."""
    head, events = book.history(ACCOUNT, id)
    covered = [event for event in events if moment.covers(event)]
    account = ACCOUNT.fold(ACCOUNT.initial, covered)
    return AccountAt(id, account, moment, head, len(events)), covered


def read_attempts(book: Book, id: str, moment: Moment) -> list[AnyEvent]:
    """Return what an account had tried and was refused, in order."""
    _, events = book.history(ATTEMPTS, id)
    return [event for event in events if moment.covers(event)]


class _Holder:
    """One holder of one product, and what there is to say of it."""

    def __init__(
        self,
        state: AccountAt,
        events: list[AnyEvent],
        catalog: Catalog,
        product: str,
        holder: str,
    ) -> None:
        self._state = state
        self._account = state.account
        self._at = state.moment.at
        self._events = events
        self._catalog = catalog
        self._product = product
        self._holder = holder

    # Refused

    def why_refused(self, event: AnyEvent, seat: Seat | None) -> Reason:
        """Return why a seat was refused, with what can be done about it now."""
        fact = event.fact
        assert isinstance(fact, SeatRefused)
        wanted = a_seat(self._catalog, self._product, fact.tier)
        when = minute(event.occurred_at)
        begun = f"Holder {self._holder} was refused {wanted} on {when}: {title(fact.refusal)}"
        if seat is not None:
            return self._refused_beside(event, fact, seat, begun)
        if fact.refusal == "holder_in_other_tier":
            return self._left_since(event, fact, begun)
        # As it was decided on: the account's stream as it stood then.
        then = [e for e in self._events if e.version <= fact.account_version]
        account = ACCOUNT.fold(ACCOUNT.initial, then)
        rows = self._rows(account, fact.tier, event.occurred_at)
        holders = account.holders(self._product, fact.tier)
        answer = f"{begun}, since {fact.used} of {fact.seats} seats were taken."
        room = self._pool(fact.tier).has_room
        if room:
            answer += " One is free now."
        return Reason(
            answer,
            fact.refusal,
            fact.refusal,
            [*(row.sentence for row in rows), *self._sitters(holders)],
            [event.position, *_positions(rows), *(one.position for one in holders)],
            "Let it take a seat: one is free now." if room else self._more_seats(fact.tier, 1),
        )

    def _refused_beside(self, event: AnyEvent, fact: SeatRefused, seat: Seat, begun: str) -> Reason:
        sits = self.why_seated(seat)
        there = place(self._catalog, self._product, seat.tier)
        return Reason(
            f"{begun}: it sits in {there}. {sits.answer}",
            fact.refusal,
            fact.refusal,
            [f"Holder {self._holder} took its seat on {minute(seat.occupied_at)}", *sits.facts],
            [event.position, seat.position, *sits.positions],
            f"Give its {there} seat back first; then it can take another.",
        )

    def _left_since(self, event: AnyEvent, fact: SeatRefused, begun: str) -> Reason:
        there = place(self._catalog, self._product, fact.sits_in)
        return Reason(
            f"{begun}: it sat in {there} then.",
            fact.refusal,
            fact.refusal,
            [f"Holder {self._holder} has no seat any more"],
            [event.position],
            "Let it take a seat: it has none now.",
        )

    # Sitting

    def why_seated(self, seat: Seat) -> Reason:
        """Return why a holder may work, or why it is one too many."""
        filled = self._pool(seat.tier)
        rank = sum(one.order < seat.order for one in self._account.holders(seat.product, seat.tier))
        rows = self._rows(self._account, seat.tier, self._at)
        row = filled.row_at(rank)
        at = place(self._catalog, seat.product, seat.tier)
        came = f"it came in {_ordinal(rank + 1)} of {filled.used}"
        if row is None:
            return self._over(seat, filled, rank, rows)
        (against,) = (one for one in rows if one.subscription == row.subscription)
        loss = next_loss(self._catalog, self._account, seat.product, seat.tier, self._at)
        return Reason(
            f"Holder {self._holder} may work in {at}: {came}, and counts against {against.name}.",
            "licensed",
            None,
            [*(one.sentence for one in rows), *([loss.sentence] if loss else [])],
            [seat.position, *_positions(rows), *(loss.positions if loss else ())],
            None,
        )

    def _over(self, seat: Seat, filled: Filled, rank: int, rows: list[Provided]) -> Reason:
        at = place(self._catalog, seat.product, seat.tier)
        facts = [one.sentence for one in rows]
        positions = [seat.position, *_positions(rows)]
        missing = rank + 1 - filled.seats
        if not filled.seats:
            return Reason(
                f"Holder {self._holder} may not work: nothing active provides {at} seats.",
                "no_active_subscription",
                "no_active_subscription",
                facts or [f"The account has never had {at} seats"],
                positions,
                self._more_seats(seat.tier, missing),
            )
        came = f"it came in {_ordinal(rank + 1)}"
        return Reason(
            f"Holder {self._holder} may not work: {filled.used} hold"
            f" {counted(filled.seats, f'{at} seat')}, and {came}.",
            "over",
            "over",
            facts,
            positions,
            f"It may work again once {counted(missing, 'holder')} who came before it"
            f" {'gives' if missing == 1 else 'give'} a seat back."
            f" {self._more_seats(seat.tier, missing)}",
        )

    # Gone

    def why_unseated(self, mine: list[AnyEvent]) -> Reason:
        """Return why a holder has no seat."""
        at = place(self._catalog, self._product, None)
        free = [
            tier
            for product, tier in self._account.places()
            if product == self._product and self._pool(tier).has_room
        ]
        mend = "Let it take a seat: one is free."
        if not free:
            tiers = sorted(
                (tier for product, tier in self._account.places() if product == self._product),
                key=str,
            )
            resting = [one for tier in tiers for one in self._resting(tier, 1)[0]]
            mend = " ".join(["There is no seat free for it.", *resting])
        if not mine:
            return Reason(
                f"Holder {self._holder} has never had a {at} seat,"
                " and no refusal of one is on record.",
                "seat_never_taken",
                "seat_not_occupied",
                [],
                [],
                mend,
            )
        left = mine[-1]
        if isinstance(left.fact, SeatPassedOn):
            return Reason(
                f"Holder {self._holder} was replaced by holder {left.fact.holder} on"
                f" {minute(left.occurred_at)}, which has its {at} seat since.",
                "seat_passed_on",
                "seat_not_occupied",
                [f"Holder {left.fact.holder} took its seat over in request {left.request_id}"],
                [left.position],
                mend,
            )
        return Reason(
            f"Holder {self._holder} gave its {at} seat back on {minute(left.occurred_at)}.",
            "seat_released",
            "seat_not_occupied",
            [f"Holder {self._holder} gave its seat back in request {left.request_id}"],
            [left.position],
            mend,
        )

    def _pool(self, tier: str | None) -> Filled:
        return self._account.pool(self._product, tier, self._at)

    def _rows(self, account: Account, tier: str | None, at: datetime) -> list[Provided]:
        query = (self._catalog, account, self._events, self._product, tier, at)
        return [*giving(*query), *earlier(*query)]

    def _sitters(self, holders: list[Seat]) -> list[str]:
        shown = [f"Holder {one.holder} has a seat" for one in holders[:HOLDERS_MAX]]
        more = len(holders) - len(shown)
        return [*shown, f"{counted(more, 'more holder')} have one"] if more else shown

    def _more_seats(self, tier: str | None, missing: int) -> str:
        """Return what gives so many more seats: what the account has already goes first."""
        at = place(self._catalog, self._product, tier)
        said, left = self._resting(tier, missing)
        if left > 0:
            more = counted(left, f"more {at} seat")
            said.append(f"Redeem another key or buy seats: {more} would do.")
        return " ".join(said)

    def _resting(self, tier: str | None, missing: int) -> tuple[list[str], int]:
        """Return what is suspended or scheduled and would help, and how many seats it leaves
        missing.
        """
        found = [
            (status != "suspended", one.started_at, one)
            for one in self._account.subscriptions.values()
            if (one.product, one.tier) == (self._product, tier)
            and (status := one.status(self._at)) in ("suspended", "scheduled")
        ]
        said: list[str] = []
        for is_scheduled, starts_at, one in sorted(found, key=lambda each: each[:2]):
            if missing <= 0:
                break
            missing -= one.seats
            given = seats(self._catalog, one.seats, one.product, one.tier)
            said.append(
                f"Key {one.masked} gives {given} from {day(starts_at)} on:"
                " start its subscription to have them now."
                if is_scheduled
                else f"Resume the subscription of key {one.masked}: it gives {given}."
            )
        return said, missing


def _is(fact: object, product: str, holder: str, *kinds: type) -> bool:
    return (
        isinstance(fact, kinds)
        and getattr(fact, "product", None) == product
        and getattr(fact, "holder", None) == holder
    )


def _passed_on(fact: object, product: str, holder: str) -> bool:
    return isinstance(fact, SeatPassedOn) and (fact.product, fact.predecessor) == (product, holder)


def _positions(rows: Iterable[Provided]) -> list[int]:
    return [position for row in rows for position in row.positions]


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
