"""Let a holder take a seat."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext, Sealed
from ledger.loaded import Loaded
from ledger.refusals import FieldError, HolderInOtherTier, NoSeatAvailable
from ledger.streams import attempts
from ledger.streams.account import decisions
from ledger.streams.account.state import Account, Seat
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS, SeatRefused
from ledger.translation import gettext


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
    services: Services,
    context: RequestContext,
    wanted: Sitting,
    *,
    expected_version: int | None = None,
) -> Occupied:
    """Let a holder in, if the pool has room, and return the account just after.

    One that sits there already stays.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        VersionMismatch, HolderInOtherTier, NoSeatAvailable: in this order.
    """
    errors = _errors(services, wanted)
    if errors != [FieldError("/label", gettext(validation.HOLDS_CODE))] or not _keeps_label(
        services, wanted
    ):
        validation.refuse_if(errors)
    validation.permit_product(services.catalog, context, wanted.product)

    def attempt() -> Occupied:
        loaded = services.book.load(ACCOUNT, wanted.account, context.reached)
        decisions.expect_version(loaded.version, expected_version)
        seat = loaded.state.seat(wanted.product, wanted.holder)
        label = seal_label(services, context, wanted.account, wanted.label, seat)
        now = context.now
        product = services.catalog.product(wanted.product)
        try:
            facts = decisions.occupy(
                loaded.state,
                wanted.product,
                wanted.tier,
                wanted.holder,
                label,
                now,
                capped=not (product and product.billed),
            )
        except (HolderInOtherTier, NoSeatAvailable) as refusal:
            _remember(services, context, wanted, loaded, refusal)
            raise
        appended = services.book.append(context, Change(loaded, facts))
        return Occupied(appended.loaded[0], seat is None, appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, wanted.account))


def _keeps_label(services: Services, wanted: Sitting) -> bool:
    """Return whether a holder sits there already, with this label: it was taken when it was given,
    and refusing it now would only keep a program from saying again where its holder sits.
    """
    seat = services.book.load(ACCOUNT, wanted.account).state.seat(wanted.product, wanted.holder)
    return seat is not None and services.texts.open(seat.label) == wanted.label


def seal_label(
    services: Services, context: RequestContext, account: str, label: str | None, seat: Seat | None
) -> Sealed | None:
    """Return a holder's label, sealed; one that says what its seat's says is the very same."""
    if seat is not None and services.texts.open(seat.label) == label:
        return seat.label
    return services.texts.seal(f"account-{account}", label, context.now)


def _remember(
    services: Services,
    context: RequestContext,
    wanted: Sitting,
    loaded: Loaded[Account],
    refusal: HolderInOtherTier | NoSeatAvailable,
) -> None:
    filled = loaded.state.pool(wanted.product, wanted.tier, context.now)
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
        tried = services.book.load(ATTEMPTS, wanted.account)
        facts = attempts.refuse_seat(tried.state, fact, context.now)
        services.book.append(context, Change(tried, facts))

    retry_on_conflict(append)


def _errors(services: Services, wanted: Sitting) -> list[FieldError]:
    return [
        *validation.account(wanted.account),
        *validation.no_code(services, "/account", wanted.account),
        *validation.holder(wanted.holder),
        *validation.no_code(services, "/holder", wanted.holder),
        *validation.product_and_tier(services.catalog, wanted.product, wanted.tier),
        *validation.text(services, "/label", wanted.label),
    ]
