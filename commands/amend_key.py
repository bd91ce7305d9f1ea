"""Put something about a key right before anybody redeems it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from commands import repeated, validation
from commands.allowances import amended
from commands.reseller_spelling import kept_spelling
from commands.retry import Decided, retry_on_conflict
from commands.revoke_key import seal_reason
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.limits import MONTHS_MAX, SEATS_MAX
from ledger.refusals import FieldError
from ledger.reseller_names import same
from ledger.streams import key
from ledger.streams.key import KEY, Key, KeyTerms
from ledger.translation import gettext as _


class Amendment(Struct, frozen=True, kw_only=True):
    """What is to become of a key; what is left out stays as it is.

    Attributes:
        redeem_by: None for no limit.
    """

    seats: int | UnsetType = UNSET
    months: int | UnsetType = UNSET
    tier: str | UnsetType | None = UNSET
    redeem_by: datetime | UnsetType | None = UNSET
    reseller: str | UnsetType = UNSET
    reason: str


def amend_key(
    services: Services,
    context: RequestContext,
    key_id: str,
    amendment: Amendment,
    *,
    idempotency_key: str | None = None,
) -> Decided[Key | None]:
    """Amend a key that nobody has redeemed, and return it just after.

    Whoever redeems it gets what is true in the commit of the redemption.

    Args:
        idempotency_key: a request that is repeated with it undoes no later amendment: the key is
            returned as it was just after the first.

    Raises:
        InvalidRequest: fields that do not fit, or nothing to amend.
        IdempotencyKeyReused: the key was used with another request.
        KeyNotFound, KeyAlreadyRevoked, KeyAlreadyRedeemed, AllowanceExceeded: in this order; the
            last, if its reseller ordered it and has not so many seats left.
    """
    asked_for = msgspec.json.encode(amendment).decode()
    asking = repeated.Asking(services, "amendment", idempotency_key, key_id, asked_for)
    stream = (KEY, key.stream_id(key_id))

    def attempt() -> Decided[Key | None]:
        loaded, *asked = services.book.load_all(stream, *asking.streams)
        before = asking.changed(services, asked, loaded)
        if before is not None:
            return before
        # Only now: what was a moment in the future may be over.
        validation.refuse_if(_errors(services, context, amendment))
        old = key.owned(loaded.state, None)
        terms = _terms(services, old, amendment)
        sealed = seal_reason(services, loaded, amendment.reason, context)
        facts = key.amend(old, terms, sealed)
        # Only now: of a key that cannot be amended at all, the tier says nothing.
        validation.refuse_if(_tier_errors(services, old, amendment))
        spent = amended(services, old, terms, causation=loaded.next_event)
        change = Change(loaded, facts, required=bool(asked))
        appended = services.book.append(context, change, *spent, *asking.answer(asked, change))
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)


def _terms(services: Services, old: Key, amendment: Amendment) -> KeyTerms:
    fields = ("seats", "months", "tier", "redeem_by")
    given = {name: getattr(amendment, name) for name in fields}
    terms = replace(old.terms, **{name: to for name, to in given.items() if to is not UNSET})
    if amendment.redeem_by is not UNSET:
        terms = replace(terms, redeem_by=validation.utc("/redeem_by", amendment.redeem_by))
    if amendment.reseller is UNSET or same(amendment.reseller, terms.reseller):
        return terms
    return replace(terms, reseller=kept_spelling(services, amendment.reseller))


def _errors(services: Services, context: RequestContext, amendment: Amendment) -> list[FieldError]:
    errors = validation.reason(services, amendment.reason)
    if amendment.seats is not UNSET:
        errors += validation.within("/seats", amendment.seats, SEATS_MAX)
    if amendment.months is not UNSET:
        errors += validation.within("/months", amendment.months, MONTHS_MAX)
    if amendment.reseller is not UNSET:
        errors += validation.name(services, "/reseller", amendment.reseller)
    if isinstance(amendment.redeem_by, datetime):
        at = validation.utc("/redeem_by", amendment.redeem_by)
        if at is not None and at <= context.now:
            errors.append(FieldError("/redeem_by", _("must be in the future")))
    if amendment == Amendment(reason=amendment.reason):
        known = "seats, months, tier, redeem_by or reseller"
        errors.append(FieldError("/", _("names nothing to amend: %(known)s", known=known)))
    return errors


def _tier_errors(services: Services, old: Key, amendment: Amendment) -> list[FieldError]:
    if amendment.tier is UNSET:
        return []
    return validation.product_and_tier(services.catalog, old.issued.product, amendment.tier)
