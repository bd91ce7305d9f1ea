"""What may happen to an account next: pure decisions, each of which returns facts or refuses.

Those on subscriptions that keys gave are in `ledger.streams.account.subscriptions`.
"""

from __future__ import annotations

from datetime import datetime

from ledger.events import Fact, Sealed
from ledger.refusals import (
    HolderAlreadySeated,
    HolderInOtherTier,
    NoSeatAvailable,
    SeatNotOccupied,
    VersionMismatch,
)
from ledger.streams.account.facts import (
    AccountErased,
    SeatOccupied,
    SeatPassedOn,
    SeatRelabelled,
    SeatReleased,
)
from ledger.streams.account.state import Account, Seat


def expect_version(version: int, expected: int | None) -> None:
    """Hold the account's version against the one that the caller has seen, if any.

    Raises:
        VersionMismatch: something was recorded since.
    """
    if expected is not None and expected != version:
        raise VersionMismatch(version)


def occupy(
    account: Account,
    product: str,
    tier: str | None,
    holder: str,
    label: Sealed | None,
    now: datetime,
    *,
    capped: bool = True,
) -> list[Fact]:
    """Return the fact that lets a holder in; of one that sits there, its new label, if any.

    Args:
        capped: whether there is an end to the seats; seats that are billed by the number of
            holders have none.

    Raises:
        HolderInOtherTier: it has a seat of this product in another tier: that is given back first.
        NoSeatAvailable: as many are taken as there are.
    """
    seat = account.seat(product, holder)
    if seat is not None:
        if seat.tier != tier:
            raise HolderInOtherTier(seat.tier)
        return _relabel(seat, label)
    filled = account.pool(product, tier, now)
    if capped and not filled.has_room:
        raise NoSeatAvailable(filled.seats, filled.used)
    return [SeatOccupied(product=product, tier=tier, holder=holder, label=label)]


def _relabel(seat: Seat, label: Sealed | None) -> list[Fact]:
    """Return the fact that a taken seat has another label; none for the same, or for none."""
    if label is None or label == seat.label:
        return []
    return [SeatRelabelled(product=seat.product, holder=seat.holder, label=label)]


def pass_on(
    account: Account,
    product: str,
    tier: str | None,
    predecessor: str,
    holder: str,
    label: Sealed | None,
) -> list[Fact]:
    """Return the fact that a holder takes another's seat; none, or its new label, if it has it.

    Args:
        tier: of the seat; None for whichever it is.

    Raises:
        HolderInOtherTier: one of the two has a seat of this product in another tier.
        HolderAlreadySeated: each of them has a seat.
        SeatNotOccupied: the one that is to be replaced has none.
    """
    had, has = account.seat(product, predecessor), account.seat(product, holder)
    if (
        has is not None
        and had is None
        and has.predecessor == predecessor
        and tier in (None, has.tier)
    ):
        # It was passed on already. Asked again, it stays: the answer may have been lost.
        return _relabel(has, label)
    if had is None:
        raise SeatNotOccupied
    if tier not in (None, had.tier):
        raise HolderInOtherTier(had.tier)
    if has is not None:
        raise HolderAlreadySeated if has.tier == had.tier else HolderInOtherTier(has.tier)
    return [
        SeatPassedOn(
            product=product, tier=had.tier, holder=holder, predecessor=predecessor, label=label
        )
    ]


def release(
    account: Account, product: str, holder: str, reason: Sealed | None = None
) -> list[Fact]:
    """Return the fact that gives a holder's seat back.

    Raises:
        SeatNotOccupied: the holder has none of this product.
    """
    seat = account.seat(product, holder)
    if seat is None:
        raise SeatNotOccupied
    return [SeatReleased(product=product, tier=seat.tier, holder=holder, reason=reason)]


def erase(
    account: Account, owner: str, reason: Sealed | None, texts: int, *, had_key: bool = False
) -> list[Fact]:
    """Return the fact that the account's texts are given up; none without any since the last time.

    Args:
        texts: how many could be read, in this stream and in others.
        had_key: there was a key that texts were sealed under, of this stream or of others.

    Of an account that never had a text it is recorded, too: somebody asked, and may ask for proof.
    """
    if account.erased_at is not None and not account.texts and not had_key:
        return []
    return [AccountErased(owner=owner, texts=texts, reason=reason)]
