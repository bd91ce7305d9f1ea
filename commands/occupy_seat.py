"""Let a holder take a seat."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.retry import deciding
from commands.services import Ports
from ledger.book import Change
from ledger.events import Sealed, Stamp
from ledger.loaded import Loaded
from ledger.refusals import FieldError, HolderInOtherTier, NoSeatAvailable
from ledger.streams import attempts
from ledger.streams.account import decisions as account_stream
from ledger.streams.account.decisions import ACCOUNT
from ledger.streams.account.state import Account, Seat
from ledger.streams.attempts import ATTEMPTS, SeatRefused


class Sitting(NamedTuple):
    """What a holder wants: a seat of a product and tier, with a label for people to know it by."""

    account: str
    product: str
    tier: str | None
    holder: str
    label: str | None = None


class Occupied(NamedTuple):
    """The account just after.

    Attributes:
        created: false when the holder sat there already.
    """

    account: Loaded[Account]
    created: bool
    position: int


def occupy_seat(
    ports: Ports, stamp: Stamp, wanted: Sitting, *, expected_version: int | None = None
) -> Occupied:
    """Let a holder in, if the pool has room. One that sits there already stays.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        VersionMismatch, HolderInOtherTier, NoSeatAvailable: in this order.
    """
    errors = _errors(ports, wanted)
    if errors != [FieldError("/label", validation.HOLDS_CODE)] or not _keeps_label(ports, wanted):
        validation.refuse_if(errors)
    validation.permit_product(ports.catalog, stamp, wanted.product)

    def attempt() -> Occupied:
        loaded = ports.book.load(ACCOUNT, wanted.account, stamp.reached)
        account_stream.expect_version(loaded.version, expected_version)
        seat = loaded.state.seat(wanted.product, wanted.holder)
        label = _label(ports, stamp, wanted, seat)
        now = stamp.now
        product = ports.catalog.product(wanted.product)
        try:
            facts = account_stream.occupy(
                loaded.state,
                wanted.product,
                wanted.tier,
                wanted.holder,
                label,
                now,
                capped=not (product and product.billed),
            )
        except (HolderInOtherTier, NoSeatAvailable) as refusal:
            _remember(ports, stamp, wanted, loaded, refusal)
            raise
        appended = ports.book.append(stamp, Change(loaded, facts))
        return Occupied(appended.loaded[0], seat is None, appended.position)

    return deciding(attempt, ports.book.lock(ACCOUNT, wanted.account))


def _keeps_label(ports: Ports, wanted: Sitting) -> bool:
    """Tell whether a holder sits there already, with this label: it was taken when it was given,
    and refusing it now would only keep a program from saying again where its holder sits.
    """
    seat = ports.book.load(ACCOUNT, wanted.account).state.seat(wanted.product, wanted.holder)
    return seat is not None and ports.texts.open(seat.label) == wanted.label


def _label(ports: Ports, stamp: Stamp, wanted: Sitting, seat: Seat | None) -> Sealed | None:
    """Seal the label; one that says the same as the seat's stays the very same."""
    if seat is not None and ports.texts.open(seat.label) == wanted.label:
        return seat.label
    return ports.texts.seal(f"account-{wanted.account}", wanted.label, stamp.now)


def _remember(
    ports: Ports,
    stamp: Stamp,
    wanted: Sitting,
    loaded: Loaded[Account],
    refusal: HolderInOtherTier | NoSeatAvailable,
) -> None:
    filled = loaded.state.pool(wanted.product, wanted.tier, stamp.now)
    fact = SeatRefused(
        refusal=refusal.code,
        product=wanted.product,
        tier=wanted.tier,
        holder=wanted.holder,
        seats=filled.seats,
        used=filled.used,
        sits_in=refusal.tier if isinstance(refusal, HolderInOtherTier) else None,
        account_version=loaded.version,
    )

    def append() -> None:
        tried = ports.book.load(ATTEMPTS, wanted.account)
        facts = attempts.refuse_seat(tried.state, fact, stamp.now)
        ports.book.append(stamp, Change(tried, facts))

    deciding(append)


def _errors(ports: Ports, wanted: Sitting) -> list[FieldError]:
    return [
        *validation.account(wanted.account),
        *validation.no_code(ports, "/account", wanted.account),
        *validation.holder(wanted.holder),
        *validation.no_code(ports, "/holder", wanted.holder),
        *validation.product_and_tier(ports.catalog, wanted.product, wanted.tier),
        *validation.text(ports, "/label", wanted.label),
    ]
