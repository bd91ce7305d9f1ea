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
from ledger.translation import ENGLISH, language, ngettext
from ledger.translation import gettext as _
from projections.answer import AccountAnswer, Positions, doc
from projections.text.formatting import a_seat, day, minute, place, seats, title
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
        answer = _(
            "On %(time)s, if nothing more happens: %(answer)s",
            time=minute(state.moment.at),
            answer=answer,
        )
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
    _head, events = book.history(ATTEMPTS, id)
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
        begun = _(
            "Holder %(holder)s was refused %(seat)s on %(time)s: %(why)s",
            holder=self._holder,
            seat=wanted,
            time=when,
            why=title(fact.refusal),
        )
        if seat is not None:
            return self._refused_beside(event, fact, seat, begun)
        if fact.refusal == "holder_in_other_tier":
            return self._left_since(event, fact, begun)
        # As it was decided on: the account's stream as it stood then.
        then = [e for e in self._events if e.version <= fact.account_version]
        account = ACCOUNT.fold(ACCOUNT.initial, then)
        rows = self._rows(account, fact.tier, event.occurred_at)
        holders = account.holders(self._product, fact.tier)
        answer = _(
            "%(text)s, since %(used)s of %(seats)s seats were taken.",
            text=begun,
            used=fact.used,
            seats=fact.seats,
        )
        room = self._pool(fact.tier).has_room
        if room:
            answer += " " + _("One is free now.")
        return Reason(
            answer,
            fact.refusal,
            fact.refusal,
            [*(row.sentence for row in rows), *self._sitters(holders)],
            [event.position, *_positions(rows), *(one.position for one in holders)],
            _("Let it take a seat: one is free now.") if room else self._more_seats(fact.tier, 1),
        )

    def _refused_beside(self, event: AnyEvent, fact: SeatRefused, seat: Seat, begun: str) -> Reason:
        sits = self.why_seated(seat)
        there = place(self._catalog, self._product, seat.tier)
        return Reason(
            _(
                "%(text)s: it sits in %(place)s. %(answer)s",
                text=begun,
                place=there,
                answer=sits.answer,
            ),
            fact.refusal,
            fact.refusal,
            [
                _(
                    "Holder %(holder)s took its seat on %(time)s",
                    holder=self._holder,
                    time=minute(seat.occupied_at),
                ),
                *sits.facts,
            ],
            [event.position, seat.position, *sits.positions],
            _("Give its %(place)s seat back first; then it can take another.", place=there),
        )

    def _left_since(self, event: AnyEvent, fact: SeatRefused, begun: str) -> Reason:
        there = place(self._catalog, self._product, fact.sits_in)
        return Reason(
            _("%(text)s: it sat in %(place)s then.", text=begun, place=there),
            fact.refusal,
            fact.refusal,
            [_("Holder %(holder)s has no seat any more", holder=self._holder)],
            [event.position],
            _("Let it take a seat: it has none now."),
        )

    # Sitting

    def why_seated(self, seat: Seat) -> Reason:
        """Return why a holder may work, or why it is one too many."""
        filled = self._pool(seat.tier)
        rank = sum(one.order < seat.order for one in self._account.holders(seat.product, seat.tier))
        rows = self._rows(self._account, seat.tier, self._at)
        row = filled.row_at(rank)
        at = place(self._catalog, seat.product, seat.tier)
        if row is None:
            return self._over(seat, filled, rank, rows)
        (against,) = (one for one in rows if one.subscription == row.subscription)
        loss = next_loss(self._catalog, self._account, seat.product, seat.tier, self._at)
        return Reason(
            _(
                "Holder %(holder)s may work in %(place)s: it came in %(rank)s of %(used)s,"
                " and counts against %(source)s.",
                holder=self._holder,
                place=at,
                rank=_ordinal(rank + 1),
                used=filled.used,
                source=against.name,
            ),
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
                _(
                    "Holder %(holder)s may not work: nothing active provides %(place)s seats.",
                    holder=self._holder,
                    place=at,
                ),
                "no_active_subscription",
                "no_active_subscription",
                facts or [_("The account has never had %(place)s seats", place=at)],
                positions,
                self._more_seats(seat.tier, missing),
            )
        return Reason(
            ngettext(
                "Holder %(holder)s may not work: %(used)s hold %(num)s %(place)s seat,"
                " and it came in %(rank)s.",
                "Holder %(holder)s may not work: %(used)s hold %(num)s %(place)s seats,"
                " and it came in %(rank)s.",
                filled.seats,
                holder=self._holder,
                used=filled.used,
                place=at,
                rank=_ordinal(rank + 1),
            ),
            "over",
            "over",
            facts,
            positions,
            ngettext(
                "It may work again once %(num)s holder who came before it gives a seat back.",
                "It may work again once %(num)s holders who came before it give a seat back.",
                missing,
            )
            + f" {self._more_seats(seat.tier, missing)}",
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
        mend = _("Let it take a seat: one is free.")
        if not free:
            tiers = sorted(
                (tier for product, tier in self._account.places() if product == self._product),
                key=str,
            )
            resting = [one for tier in tiers for one in self._resting(tier, 1)[0]]
            mend = " ".join([_("There is no seat free for it."), *resting])
        if not mine:
            return Reason(
                _(
                    "Holder %(holder)s has never had a %(place)s seat,"
                    " and no refusal of one is on record.",
                    holder=self._holder,
                    place=at,
                ),
                "seat_never_taken",
                "seat_not_occupied",
                [],
                [],
                mend,
            )
        left = mine[-1]
        if isinstance(left.fact, SeatPassedOn):
            return Reason(
                _(
                    "Holder %(holder)s was replaced by holder %(successor)s on %(time)s,"
                    " which has its %(place)s seat since.",
                    holder=self._holder,
                    successor=left.fact.holder,
                    time=minute(left.occurred_at),
                    place=at,
                ),
                "seat_passed_on",
                "seat_not_occupied",
                [
                    _(
                        "Holder %(holder)s took its seat over in request %(request)s",
                        holder=left.fact.holder,
                        request=left.request_id,
                    )
                ],
                [left.position],
                mend,
            )
        return Reason(
            _(
                "Holder %(holder)s gave its %(place)s seat back on %(time)s.",
                holder=self._holder,
                place=at,
                time=minute(left.occurred_at),
            ),
            "seat_released",
            "seat_not_occupied",
            [
                _(
                    "Holder %(holder)s gave its seat back in request %(request)s",
                    holder=self._holder,
                    request=left.request_id,
                )
            ],
            [left.position],
            mend,
        )

    def _pool(self, tier: str | None) -> Filled:
        return self._account.pool(self._product, tier, self._at)

    def _rows(self, account: Account, tier: str | None, at: datetime) -> list[Provided]:
        query = (self._catalog, account, self._events, self._product, tier, at)
        return [*giving(*query), *earlier(*query)]

    def _sitters(self, holders: list[Seat]) -> list[str]:
        shown = [
            _("Holder %(holder)s has a seat", holder=one.holder) for one in holders[:HOLDERS_MAX]
        ]
        more = len(holders) - len(shown)
        if more:
            shown.append(
                ngettext("%(num)s more holder has one", "%(num)s more holders have one", more)
            )
        return shown

    def _more_seats(self, tier: str | None, missing: int) -> str:
        """Return what gives so many more seats: what the account has already goes first."""
        at = place(self._catalog, self._product, tier)
        said, left = self._resting(tier, missing)
        if left > 0:
            said.append(
                ngettext(
                    "Redeem another key or buy seats: %(num)s more %(place)s seat would do.",
                    "Redeem another key or buy seats: %(num)s more %(place)s seats would do.",
                    left,
                    place=at,
                )
            )
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
                _(
                    "Key %(key)s gives %(seats)s from %(day)s on:"
                    " start its subscription to have them now.",
                    key=one.masked,
                    seats=given,
                    day=day(starts_at),
                )
                if is_scheduled
                else _(
                    "Resume the subscription of key %(key)s: it gives %(seats)s.",
                    key=one.masked,
                    seats=given,
                )
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
    """Return `1st`; in other languages the number itself, to which their texts add what belongs."""
    if language() != ENGLISH.code:
        return str(number)
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
