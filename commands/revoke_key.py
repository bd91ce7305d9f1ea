"""Take a key back before anybody redeems it."""

from __future__ import annotations

from collections.abc import Callable

from commands import validation
from commands.allowances import given_back
from commands.repeated import Asking, kind_of
from commands.retry import Decided, retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext, Sealed
from ledger.loaded import Loaded
from ledger.streams import key
from ledger.streams.key import KEY, Key


def revoke_key(
    services: Services,
    context: RequestContext,
    key_id: str,
    reason: str,
    *,
    reseller: str | None = None,
    idempotency_key: str | None = None,
) -> Decided[Key | None]:
    """Revoke a key, and return it just after; what its reseller spent on it is given back.

    Args:
        reseller: who asks; None for the vendor.
        idempotency_key: a request that is repeated with it is answered with the key as it was just
            after the first, and does not revoke what came in again since.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        IdempotencyKeyReused: the key was used with another request.
        KeyNotFound, KeyAlreadyRedeemed: in this order.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    asking = Asking(services, kind_of("revoke key", reseller), idempotency_key, key_id, reason)
    stream = (KEY, key.stream_id(key_id))

    def attempt() -> Decided[Key | None]:
        loaded, *asked = services.book.load_all(stream, *asking.streams)
        before = asking.changed(services, asked, loaded)
        if before is not None:
            return before
        sealed = seal_reason(services, loaded, reason, context)
        facts = key.revoke(loaded.state, reseller, sealed)
        revoked = [loaded.state] if facts and loaded.state else []
        change = Change(loaded, facts, required=bool(asked))
        appended = services.book.append(
            context,
            change,
            *given_back(services, revoked, causation=loaded.next_event),
            *asking.answer(asked, change),
        )
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)


def seal_reason(
    services: Services, loaded: Loaded[Key | None], reason: str, context: RequestContext
) -> Sealed | None:
    """Return a reason, sealed so that it is erased with the other texts of whom it is about.

    That is the account that has redeemed the key; the key's reseller while nobody has. None without
    a key.
    """
    key = loaded.state
    if key is None:
        return None
    owner = f"account-{key.redeemed_by}" if key.redeemed_by else f"reseller-{key.issued.reseller}"
    return services.texts.seal(owner, reason, context.now)


def sealed_for_reseller(
    services: Services, reason: str, context: RequestContext
) -> Callable[[Key], Sealed | None]:
    """Return what seals one reason for many keys that nobody has redeemed, once a reseller."""
    sealed: dict[str, Sealed | None] = {}

    def seal(key: Key) -> Sealed | None:
        name = key.issued.reseller
        if name not in sealed:
            sealed[name] = services.texts.seal(f"reseller-{name}", reason, context.now)
        return sealed[name]

    return seal
