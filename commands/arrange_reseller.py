"""What is arranged with a reseller: grants, limits, suspension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import astuple

from commands import repeated, validation
from commands.reseller_spelling import kept_spelling
from commands.retry import Decided, retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import Fact, RequestContext, Sealed
from ledger.limits import COUNT_MAX, MONTHS_MAX, SEATS_MAX
from ledger.refusals import FieldError, ResellerNotFound
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
    *,
    idempotency_key: str | None = None,
) -> Decided[Reseller]:
    """Let a reseller order more seats of a product and tier, or fewer; return it just after.

    Args:
        idempotency_key: a request that is repeated with it grants nothing twice.

    Raises:
        InvalidRequest: fields that do not fit.
        IdempotencyKeyReused: the key was used with another request.
        AllowanceSpent: fewer than it has spent.
    """
    errors = []
    if seats == 0 or abs(seats) > GRANT_MAX:
        range_ = _(
            "must be from -%(grant_max)s to %(grant_max2)s, and not 0",
            grant_max=GRANT_MAX,
            grant_max2=GRANT_MAX,
        )
        errors.append(FieldError("/seats", range_))
    wanted = _Wanted(name, ("grant", product, tier or "", str(seats)), reason, idempotency_key)
    return _arrange(
        services,
        context,
        wanted,
        lambda state, sealed: reseller.grant(state, product, tier, seats, sealed),
        errors,
        validation.product_and_tier(services.catalog, product, tier),
        may_be_new=True,
    )


def set_limits(
    services: Services,
    context: RequestContext,
    name: str,
    limits: LimitsSet,
    *,
    idempotency_key: str | None = None,
) -> Decided[Reseller]:
    """Set what an order of the reseller's may have at most; return the reseller just after.

    Raises:
        InvalidRequest: fields that do not fit.
        ResellerNotFound: nobody was ever named so.
        IdempotencyKeyReused: as `grant_seats`.
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
    asked = ("limits", *map(str, astuple(limits)))
    wanted = _Wanted(name, asked, None, idempotency_key)
    return _arrange(
        services, context, wanted, lambda state, _: reseller.limit(state, limits), errors
    )


def suspend_reseller(
    services: Services,
    context: RequestContext,
    name: str,
    reason: str,
    *,
    keys: bool = False,
    idempotency_key: str | None = None,
) -> Decided[Reseller]:
    """Let a reseller order nothing until it is resumed; return it just after.

    Args:
        keys: nor can its keys be redeemed.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        ResellerNotFound, IdempotencyKeyReused: as `set_limits`.
    """
    wanted = _Wanted(name, ("suspend", str(keys)), reason, idempotency_key)
    return _arrange(
        services, context, wanted, lambda state, sealed: reseller.suspend(state, sealed, keys=keys)
    )


def resume_reseller(
    services: Services,
    context: RequestContext,
    name: str,
    reason: str,
    *,
    idempotency_key: str | None = None,
) -> Decided[Reseller]:
    """Let a reseller order again, and its keys be redeemed; return it just after.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        ResellerNotFound, IdempotencyKeyReused: as `set_limits`.
    """
    wanted = _Wanted(name, ("resume",), reason, idempotency_key)
    return _arrange(services, context, wanted, reseller.resume)


class _Wanted(NamedTuple):
    """What is to be arranged with whom, and why.

    Attributes:
        asked: all that makes it another request.
    """

    name: str
    asked: tuple[str, ...]
    reason: str | None
    idempotency_key: str | None


def _arrange(
    services: Services,
    context: RequestContext,
    wanted: _Wanted,
    decision: Callable[[Reseller, Sealed | None], Sequence[Fact]],
    errors: Sequence[FieldError] = (),
    catalog_errors: Sequence[FieldError] = (),
    *,
    may_be_new: bool = False,
) -> Decided[Reseller]:
    """Arrange something, and return the reseller just after.

    Args:
        errors: of the request by itself.
        catalog_errors: by what the catalog is now; it may have changed since the request was
            answered, and what was answered stays so.
    """
    name, reason = wanted.name, wanted.reason
    of_itself = [
        *validation.name(services, "/reseller", name),
        *errors,
        *(validation.reason(services, reason) if reason is not None else ()),
    ]
    if of_itself:
        validation.refuse_if([*catalog_errors, *of_itself])
    id = reseller.stream_id(name)
    kept = kept_spelling(services, name)
    asking = repeated.Asking(
        services, "reseller", wanted.idempotency_key, id, *wanted.asked, reason or ""
    )

    def attempt() -> Decided[Reseller]:
        loaded, *asked = services.book.load_all((RESELLER, id), *asking.streams)
        before = asking.changed(services, asked, loaded)
        if before is not None:
            return before
        validation.refuse_if(catalog_errors)
        if not may_be_new and loaded.state.name is None and services.first_spelling(id) is None:
            raise ResellerNotFound
        sealed = services.texts.seal(f"reseller-{kept}", reason, context.now)
        facts = decision(loaded.state, sealed)
        named = reseller.name(loaded.state, kept) if facts else []
        change = Change(loaded, [*named, *facts], required=True)
        appended = services.book.append(context, change, *asking.answer(asked, change))
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)
