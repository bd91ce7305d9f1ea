"""How far Stripe has been told of the seats that are billed: a part of an account's state.

Whoever reads this knows three things of each product, whichever process did what before: when its
seats moved, which call to Stripe has no answer yet, and what Stripe refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, SeatSyncStarted

# After so long Stripe is told of seats that are still moving.
LONGEST_WAIT: Final = timedelta(minutes=10)


class Moved(Struct, frozen=True, gc=False):
    """When a product's seats were taken or given back, since Stripe was last told.

    Attributes:
        first: of those that followed each other within the longest wait.
    """

    first: datetime
    last: datetime


class Unanswered(Struct, frozen=True):
    """A call that was begun, and of which nobody has recorded what came of it."""

    started: SeatSyncStarted
    at: datetime


class Refused(Struct, frozen=True):
    """What Stripe did not do when it was last asked.

    Attributes:
        tries: how often in a row.
    """

    started: SeatSyncStarted
    code: str
    card: bool
    at: datetime
    tries: int


class SeatSyncs(Struct, frozen=True):
    """By product. What Stripe refused is forgotten as soon as it does anything."""

    moved: Map[str, Moved] = Map()
    unanswered: Map[str, Unanswered] = Map()
    refused: Map[str, Refused] = Map()


def with_moves(syncs: SeatSyncs, moves: Mapping[str, Sequence[datetime]]) -> SeatSyncs:
    """Return the state after seats were taken and given back at these times, by product."""
    return replace(
        syncs,
        moved=syncs.moved.update(
            {product: _moved(syncs.moved.get(product), times) for product, times in moves.items()}
        ),
    )


def _moved(known: Moved | None, times: Sequence[datetime]) -> Moved:
    """Return the end of `times`: those that followed each other within the longest wait."""
    first = times[-1]
    for time in reversed(times):
        if first - time > LONGEST_WAIT:
            return Moved(first, times[-1])
        first = time
    if known is not None and first - known.last <= LONGEST_WAIT:
        first = known.first
    return Moved(first, times[-1])


def with_sync(syncs: SeatSyncs, event: AnyOccurrence) -> SeatSyncs:
    """Return the state after a call to Stripe was begun, or answered."""
    match event.fact:
        case SeatSyncStarted(product=product) as started:
            return replace(
                syncs,
                moved=syncs.moved.delete(product) if product in syncs.moved else syncs.moved,
                unanswered=syncs.unanswered.set(product, Unanswered(started, event.occurred_at)),
            )
        case SeatsSynced(product=product):
            refused = syncs.refused
            return replace(
                _answered(syncs, product),
                refused=refused.delete(product) if product in refused else refused,
            )
        case SeatSyncFailed(product=product) as failed if product in syncs.unanswered:
            before = syncs.refused.get(product)
            refused_now = Refused(
                syncs.unanswered[product].started,
                failed.code,
                failed.card,
                event.occurred_at,
                before.tries + 1 if before is not None else 1,
            )
            return replace(
                _answered(syncs, product), refused=syncs.refused.set(product, refused_now)
            )
    return syncs


def _answered(syncs: SeatSyncs, product: str) -> SeatSyncs:
    if product not in syncs.unanswered:
        return syncs
    return replace(syncs, unanswered=syncs.unanswered.delete(product))
