"""When seats were given and taken: what the overview counts at the ends of past months.

A *span* is a time in which one subscription of a key gives its seats, or one holder has a seat. It
is written when it begins, and closed when it ends before its time: by being suspended, terminated
or given back. What was suspended waits for its next span, which begins when it is resumed. What
moves to another account, or to another key, is the same span.
"""

from __future__ import annotations

from typing import Final

from ledger.events import AnyEvent
from ledger.streams.account.facts import (
    SeatOccupied,
    SeatPassedOn,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionImported,
    SubscriptionRescheduled,
    SubscriptionResumed,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionSuspended,
    SubscriptionTakenOver,
    SubscriptionTerminated,
)
from projections.lists.catch_up import Projection, Write, Writes
from projections.lists.stores.tables import Params, to_number

_OPEN: Final = "WHERE id = :id AND closed_at IS NULL"
_MOVE: Final = f"UPDATE keyfold_given_spans_1 SET starts_at = :at, ends_at = :ends_at {_OPEN}"  # noqa: S608
_EXTEND: Final = f"UPDATE keyfold_given_spans_1 SET ends_at = :ends_at {_OPEN}"  # noqa: S608
_CLOSE: Final = f"""
    UPDATE keyfold_given_spans_1 SET closed_at = :at {_OPEN} AND position < :position
"""  # noqa: S608
_WAIT: Final = f"""
    INSERT INTO keyfold_given_spans_1
        (position, id, product, tier, seats, starts_at, closed_at, ends_at)
    SELECT CAST(:position AS bigint), id, product, tier, seats, NULL, NULL, ends_at
    FROM keyfold_given_spans_1 {_OPEN}
"""  # noqa: S608
# Whose clock was behind: it was there by then.
_BY_THEN: Final = f"UPDATE keyfold_given_spans_1 SET starts_at = :at {_OPEN} AND starts_at > :at"  # noqa: S608
_RESUME: Final = f"UPDATE keyfold_given_spans_1 SET starts_at = :at {_OPEN}"  # noqa: S608


def _given(event: AnyEvent) -> Writes:
    fact, at = event.fact, to_number(event.occurred_at)
    match fact:
        case SubscriptionActivated() | SubscriptionImported() | SubscriptionScheduled():
            starts = to_number(fact.starts_at) if isinstance(fact, SubscriptionScheduled) else at
            place = event.position, fact.subscription, fact.product, fact.tier, fact.seats
            return [(*place, starts, None, to_number(fact.expires_at))]
        case SubscriptionStarted(subscription=id, expires_at=end):
            return Write(_MOVE, [{"id": id, "at": at, "ends_at": to_number(end)}])
        case SubscriptionRescheduled(subscription=id, starts_at=start, expires_at=end):
            moved: Params = {"id": id, "at": to_number(start), "ends_at": to_number(end)}
            return Write(_MOVE, [moved])
        case SubscriptionExtended(subscription=id, expires_at=end):
            return Write(_EXTEND, [{"id": id, "ends_at": to_number(end)}])
        case SubscriptionSuspended(subscription=id):
            waiting: Params = {"id": id, "position": event.position}
            return Write(_WAIT, [waiting]), Write(_CLOSE, [{**waiting, "at": at}])
        case SubscriptionResumed(subscription=id):
            return Write(_RESUME, [{"id": id, "at": at}])
        case SubscriptionTakenOver(subscription=id, starts_at=None):
            return Write(_BY_THEN, [{"id": id, "at": at}])
        case SubscriptionTerminated(subscription=id):
            return Write(_CLOSE, [{"id": id, "position": event.position, "at": at}])
    return None


_TAKE: Final = """
    INSERT INTO keyfold_taken_spans_1
        (position, account, product, holder, tier, starts_at, closed_at)
    VALUES (:position, :account, :product, :holder, :tier, :at, NULL)
"""
_GIVE_BACK: Final = """
    UPDATE keyfold_taken_spans_1 SET closed_at = :at
    WHERE account = :account AND product = :product AND holder = :holder
        AND closed_at IS NULL AND position < :position
"""


def _taken(event: AnyEvent) -> Writes:
    fact = event.fact
    if not isinstance(fact, SeatOccupied | SeatPassedOn | SeatReleased):
        return None
    of: Params = {
        "account": event.stream.partition("-")[2],
        "product": fact.product,
        "at": to_number(event.occurred_at),
        "position": event.position,
    }
    match fact:
        case SeatOccupied(holder=holder, tier=tier):
            return Write(_TAKE, [{**of, "holder": holder, "tier": tier}])
        case SeatReleased(holder=holder):
            return Write(_GIVE_BACK, [{**of, "holder": holder}])
        case SeatPassedOn(holder=holder, predecessor=predecessor, tier=tier):
            return (
                Write(_GIVE_BACK, [{**of, "holder": predecessor}]),
                Write(_TAKE, [{**of, "holder": holder, "tier": tier}]),
            )


GIVEN_SPANS: Final = Projection(
    name="given_spans@1",
    table="keyfold_given_spans_1",
    columns=("position", "id", "product", "tier", "seats", "starts_at", "closed_at", "ends_at"),
    write=_given,
    facts=frozenset(
        {
            SubscriptionActivated,
            SubscriptionExtended,
            SubscriptionImported,
            SubscriptionRescheduled,
            SubscriptionResumed,
            SubscriptionScheduled,
            SubscriptionStarted,
            SubscriptionSuspended,
            SubscriptionTakenOver,
            SubscriptionTerminated,
        }
    ),
)
TAKEN_SPANS: Final = Projection(
    name="taken_spans@1",
    table="keyfold_taken_spans_1",
    columns=("position", "account", "product", "holder", "tier", "starts_at", "closed_at"),
    write=_taken,
    facts=frozenset({SeatOccupied, SeatPassedOn, SeatReleased}),
)
