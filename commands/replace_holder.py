"""Let a holder take the seat of another one."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.occupy_seat import Occupied, seal_label
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.refusals import FieldError
from ledger.streams.account import decisions
from ledger.streams.account.stream import ACCOUNT


class Replacement(NamedTuple):
    """Who takes whose seat of a product.

    Attributes:
        tier: of that seat; None for whichever it is.
        label: what people know the new holder by; that of the one before is not passed on.
    """

    account: str
    product: str
    tier: str | None
    holder: str
    replaces: str
    label: str | None = None


def replace_holder(
    services: Services,
    context: RequestContext,
    wanted: Replacement,
    *,
    expected_version: int | None = None,
) -> Occupied:
    """Pass a seat on, in one commit, and return the account just after.

    The new holder has the seat, its place in the queue, and since when it is taken. As many are
    taken as before, so this goes when none is free, too. One that has taken the seat over already
    keeps it.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        VersionMismatch, SeatNotOccupied, HolderInOtherTier, HolderAlreadySeated: in this order.
    """
    validation.refuse_if(_errors(services, wanted))
    validation.permit_product(services.catalog, context, wanted.product)

    def attempt() -> Occupied:
        loaded = services.book.load(ACCOUNT, wanted.account, context.reached)
        decisions.expect_version(loaded.version, expected_version)
        seat = loaded.state.seat(wanted.product, wanted.holder)
        label = seal_label(services, context, wanted.account, wanted.label, seat)
        facts = decisions.pass_on(
            loaded.state, wanted.product, wanted.tier, wanted.replaces, wanted.holder, label
        )
        appended = services.book.append(context, Change(loaded, facts))
        return Occupied(appended.loaded[0], seat is None, appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, wanted.account))


def _errors(services: Services, wanted: Replacement) -> list[FieldError]:
    errors = [
        *validation.account(wanted.account),
        *validation.no_code(services, "/account", wanted.account),
        *validation.holder(wanted.holder),
        *validation.no_code(services, "/holder", wanted.holder),
        *validation.holder(wanted.replaces, "/replaces"),
        *validation.text(services, "/label", wanted.label),
    ]
    if wanted.holder == wanted.replaces:
        errors.append(FieldError("/replaces", "must be another holder than the one that comes"))
    if wanted.tier is None:
        return [*errors, *validation.product(services.catalog, wanted.product)]
    return [
        *errors,
        *validation.product_and_tier(services.catalog, wanted.product, wanted.tier),
    ]
