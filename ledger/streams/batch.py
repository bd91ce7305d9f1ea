"""One order of keys.

Stream:    `batch-<id>`, where `bat_<id>` is the batch's id; an order that carries an idempotency
           key has an id derived from it, so that the primary key itself refuses a second batch
Facts:     KeysIssued, AllowanceCharged, KeysImported, CodesRevealed
Invariant: a repeated order issues nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from ledger import reseller_names
from ledger.events import AnyEvent, AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import BatchNotFound, CodesNotDerivable, IdempotencyKeyReused

REPEATED = timedelta(hours=1)

# Facts


class KeysIssued(Fact, frozen=True):
    """An order was carried out: `count` keys, alike but for their codes.

    Attributes:
        prefix: what the codes begin with; they are derived from it.
        fingerprint: keyed digest of the whole order, to know a repetition from another order.
    """

    batch: str
    prefix: str
    product: str
    tier: str | None
    seats: int
    months: int
    count: int
    reseller: str
    redeem_by: datetime | None
    note: Sealed | None
    fingerprint: str


class AllowanceCharged(Fact, frozen=True):
    """The order was the reseller's own: the seats of all its keys count as spent by it."""

    seats: int


class KeysImported(Fact, frozen=True):
    """Codes issued elsewhere were taken in: places `first_index` up to `first_index + count`."""

    batch: str
    first_index: int
    count: int


class CodesRevealed(Fact, frozen=True):
    """The owner was shown the codes again: with a reason, or because a request was repeated.

    Attributes:
        reason: None when the order, or the reissue, was repeated.
        key: whose code alone was shown, with those that took its place; None for the whole batch.
    """

    reason: Sealed | None = None
    key: str | None = None


# State


class Batch(Struct, frozen=True):
    """A batch as its facts make it.

    Attributes:
        issued: the order; None for a batch of imported codes.
        size: how many keys it has.
        spent: the reseller ordered it itself, and spent its seats.
    """

    id: str
    issued: KeysIssued | None
    recorded_at: datetime
    size: int
    spent: bool = False

    def belongs_to(self, reseller: str | None) -> bool:
        """Return whether a reseller, in whatever spelling, may see it; the vendor (None) may."""
        if reseller is None:
            return True
        return self.issued is not None and reseller_names.same(reseller, self.issued.reseller)


# Fold


def fold(batch: Batch | None, events: Iterable[AnyOccurrence]) -> Batch | None:
    """Return the batch after these events; None while it has no codes."""
    for event in events:
        match event.fact:
            case KeysIssued() as issued:
                batch = Batch(issued.batch, issued, event.recorded_at, issued.count)
            case AllowanceCharged() if batch:
                batch = replace(batch, spent=True)
            case KeysImported(batch=id, count=count) if batch is None:
                batch = Batch(id, None, event.recorded_at, count)
            case KeysImported(first_index=first_index, count=count) if batch:
                batch = replace(batch, size=max(batch.size, first_index + count))
    return batch


# Decisions


def is_order(batch: Batch, fingerprint: str) -> bool:
    """Return whether a batch was made by the very order with this fingerprint."""
    return batch.issued is not None and batch.issued.fingerprint == fingerprint


def issue(batch: Batch | None, order: KeysIssued) -> list[Fact]:
    """Return the fact that carries out an order.

    Raises:
        IdempotencyKeyReused: this batch is there already.
    """
    if batch is not None:
        raise IdempotencyKeyReused
    return [order]


def take_in(batch: Batch | None, id: str, count: int) -> KeysImported:
    """Return the fact that takes in codes issued elsewhere, after those that the batch has.

    Never refused: each key's own stream says whether it is known.
    """
    return KeysImported(batch=id, first_index=batch.size if batch else 0, count=count)


def derivable(batch: Batch | None, reseller: str | None, *, has_keys: bool) -> KeysIssued:
    """Return the order of a batch whose codes may be shown again to a reseller, or to the vendor.

    Args:
        reseller: who asks; None for the vendor.
        has_keys: some of the batch are this reseller's, whoever ordered it.

    Raises:
        BatchNotFound: no such batch, or another reseller's, who must not learn that it exists.
        CodesNotDerivable: imported; the ledger never knew the codes.
    """
    if batch is None or not (batch.belongs_to(reseller) or has_keys):
        raise BatchNotFound
    if batch.issued is None:
        raise CodesNotDerivable
    return batch.issued


def reveal(
    batch: Batch | None,
    reseller: str | None,
    reason: Sealed | None,
    own_keys: Sequence[str] = (),
) -> list[Fact]:
    """Return what shows the codes again: all of them to whoever ordered them, else a reseller's.

    Args:
        own_keys: that are the reseller's. Each of them goes on record where it ordered none.

    Raises:
        BatchNotFound, CodesNotDerivable: as `derivable`.
    """
    derivable(batch, reseller, has_keys=bool(own_keys))
    if batch is not None and batch.belongs_to(reseller):
        return [CodesRevealed(reason=reason)]
    return [fact for key in own_keys for fact in reveal_one(key, reason)]


def reveal_one(key: str, reason: Sealed | None) -> list[Fact]:
    """Return the fact that shows one key's code again. The key's own stream says to whom."""
    return [CodesRevealed(reason=reason, key=key)]


def reveal_again(
    events: Iterable[AnyEvent], actor: str, now: datetime, key: str | None = None
) -> list[Fact]:
    """Return the fact that shows codes again because the request that they were for was repeated.

    It is recorded once an hour for each caller, so that nobody can make the ledger grow by asking.

    Args:
        events: all of the batch's.
        key: whose code alone is shown; None for the whole batch.
    """
    shown = CodesRevealed(key=key)
    lately = (
        event for event in events if event.fact == shown and abs(now - event.occurred_at) < REPEATED
    )
    return [] if any(event.actor == actor for event in lately) else [shown]


BATCH: Stream[Batch | None] = Stream(
    kind="batch",
    facts={
        "batch.keys_issued@1": KeysIssued,
        "batch.allowance_charged@1": AllowanceCharged,
        "batch.keys_imported@1": KeysImported,
        "batch.codes_revealed@1": CodesRevealed,
    },
    initial=None,
    fold=fold,
)


def stream_id(batch_id: str) -> str:
    """Return the id in the stream's name for a batch's id."""
    return batch_id.removeprefix("bat_")
