"""What is arranged with a reseller: grants, limits, suspension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from commands import validation
from commands.reseller_spelling import kept_spelling
from commands.retry import Decided, decide
from commands.services import Services
from ledger.events import Fact, RequestContext, Sealed
from ledger.limits import COUNT_MAX, MONTHS_MAX, SEATS_MAX
from ledger.loaded import Loaded
from ledger.refusals import FieldError
from ledger.streams import reseller
from ledger.streams.reseller import RESELLER, LimitsSet, Reseller
from ledger.translation import gettext as _

GRANT_MAX: Final = 10**9


def grant_seats(
    services: Services,
    context: RequestContext,
    name: str,
    product: str,
    tier: str | None,
    seats: int,
    reason: str,
) -> Decided[Reseller]:
    """Let a reseller order more seats of a product and tier, or fewer; return it just after.

    Raises:
        InvalidRequest: fields that do not fit.
        AllowanceSpent: fewer than it has spent.
    """
    errors = validation.product_and_tier(services.catalog, product, tier)
    if seats == 0 or abs(seats) > GRANT_MAX:
        range_ = _(
            "must be from -%(grant_max)s to %(grant_max2)s, and not 0",
            grant_max=GRANT_MAX,
            grant_max2=GRANT_MAX,
        )
        errors.append(FieldError("/seats", range_))
    return _arrange(
        services,
        context,
        name,
        reason,
        lambda state, sealed: reseller.grant(state, product, tier, seats, sealed),
        errors,
    )


def set_limits(
    services: Services, context: RequestContext, name: str, limits: LimitsSet
) -> Decided[Reseller]:
    """Set what an order of the reseller's may have at most; return the reseller just after.

    Raises:
        InvalidRequest: fields that do not fit.
    """
    most = {"count": COUNT_MAX, "seats": SEATS_MAX, "months": MONTHS_MAX}
    errors = [
        error
        for field, largest in most.items()
        if (value := getattr(limits, field)) is not None
        for error in validation.within(f"/{field}", value, largest)
    ]
    if limits.approval_above is not None and not 0 <= limits.approval_above <= GRANT_MAX:
        errors.append(
            FieldError("/approval_above", _("must be from 0 to %(grant_max)s", grant_max=GRANT_MAX))
        )
    return _arrange(
        services, context, name, None, lambda state, _: reseller.limit(state, limits), errors
    )


def suspend_reseller(
    services: Services, context: RequestContext, name: str, reason: str, *, keys: bool = False
) -> Decided[Reseller]:
    """Let a reseller order nothing until it is resumed; return it just after.

    Args:
        keys: nor can its keys be redeemed.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
    """
    return _arrange(
        services,
        context,
        name,
        reason,
        lambda state, sealed: reseller.suspend(state, sealed, keys=keys),
    )


def resume_reseller(
    services: Services, context: RequestContext, name: str, reason: str
) -> Decided[Reseller]:
    """Let a reseller order again, and its keys be redeemed; return it just after.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
    """
    return _arrange(services, context, name, reason, reseller.resume)


def _arrange(
    services: Services,
    context: RequestContext,
    name: str,
    reason: str | None,
    decision: Callable[[Reseller, Sealed | None], Sequence[Fact]],
    errors: Sequence[FieldError] = (),
) -> Decided[Reseller]:
    validation.refuse_if(
        [
            *validation.name(services, "/reseller", name),
            *errors,
            *(validation.reason(services, reason) if reason is not None else ()),
        ]
    )
    kept = kept_spelling(services, name)

    def arranged(loaded: Loaded[Reseller]) -> list[Fact]:
        sealed = services.texts.seal(f"reseller-{kept}", reason, context.now)
        facts = decision(loaded.state, sealed)
        return [*reseller.name(loaded.state, kept), *facts] if facts else []

    return decide(services, context, RESELLER, reseller.stream_id(name), arranged)
