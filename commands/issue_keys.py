"""Issue a batch of activation keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from commands import validation
from commands.reseller_spelling import kept_spelling
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.limits import COUNT_MAX, MONTHS_MAX, SEATS_MAX
from ledger.loaded import Loaded, empty_stream
from ledger.refusals import FieldError
from ledger.streams import batch, key
from ledger.streams.batch import BATCH, Batch, KeysIssued
from ledger.streams.key import KEY, Key, KeyIssued
from ledger.translation import gettext as _


class Order(Struct, frozen=True):
    """Keys to issue, alike but for their codes.

    Attributes:
        redeem_by: from this moment on, keys that nobody redeemed have lapsed; None for no limit.
        note: free text for the vendor and the reseller.
    """

    product: str
    tier: str | None
    seats: int
    months: int
    count: int
    reseller: str
    redeem_by: datetime | None = None
    note: str | None = None


class IssuedKey(NamedTuple):
    id: str
    code: str
    masked: str


class Issued(NamedTuple):
    """A batch, with the codes that are shown now and can be derived again.

    Attributes:
        replayed: the order had been carried out before.
    """

    batch: str
    keys: list[IssuedKey]
    position: int
    replayed: bool


def issue_keys(
    services: Services,
    context: RequestContext,
    order: Order,
    *,
    idempotency_key: str | None = None,
    scope: str = "",
    reseller: str | None = None,
    on_key: Callable[[], object] = lambda: None,
) -> Issued:
    """Issue keys, all of them in one commit or none, and return them with their codes, in order.

    Args:
        idempotency_key: an order that is repeated with it answers with the same keys, their codes
            masked when they are redeemed or revoked; that the others were shown is recorded, once
            an hour for each caller.
        scope: whose idempotency key it is; one caller's keys say nothing of another's.
        reseller: who asks; None for the vendor.
        on_key: called once for each code derived, to show progress.

    Raises:
        InvalidRequest: fields that do not fit.
        IdempotencyKeyReused: another order was placed with it.
    """
    check_order(services, order, reseller)
    order = replace(order, redeem_by=validation.utc("/redeem_by", order.redeem_by))
    fingerprint = fingerprint_of(services, order)
    batch_id = batch_id_of(services, idempotency_key, scope)

    def attempt() -> Issued:
        loaded = services.book.load(BATCH, batch.stream_id(batch_id))
        if loaded.state is not None and batch.is_order(loaded.state, fingerprint):
            return issued_again(services, context, loaded, reseller)
        intent = intended(services, context, order, batch_id, fingerprint, reseller)
        facts = batch.issue(loaded.state, intent)
        validation.refuse_if(lapsed(order, context.now))
        keys = list(_derive(services, intent, on_key))
        of_keys = key_changes(intent, keys, causation=loaded.next_event)
        appended = services.book.append(context, Change(loaded, facts), *of_keys)
        return Issued(batch_id, keys, appended.position, replayed=False)

    return retry_on_conflict(attempt)


def fingerprint_of(services: Services, order: Order) -> str:
    """Return the keyed digest of an order as it was placed."""
    return codes.digest(services.request_key, msgspec.json.encode(order).decode())


def check_order(services: Services, order: Order, reseller: str | None) -> None:
    """Hold an order's fields to what does not depend on the ledger.

    Raises:
        InvalidRequest: with all that does not fit, if anything but the product or tier does not,
            which may have left the catalog since the order was carried out.
    """
    if _errors_of_itself(services, order, reseller):
        validation.refuse_if(_errors(services, order, reseller))


def intended(
    services: Services,
    context: RequestContext,
    order: Order,
    batch_id: str,
    fingerprint: str,
    reseller: str | None,
) -> KeysIssued:
    """Return the fact that carries an order out, which was not carried out before.

    Raises:
        InvalidRequest: fields that do not fit.
    """
    # Only now: the catalog may have changed since the order was carried out.
    validation.refuse_if(_errors(services, order, reseller))
    kept = kept_spelling(services, order.reseller)
    return _intent(services, context, order, kept, batch_id, fingerprint)


def key_changes(intent: KeysIssued, keys: Sequence[IssuedKey], causation: str) -> list[Change]:
    """Return the changes that issue an order's keys."""
    return [
        Change(
            empty_stream(KEY, key.stream_id(one.id)),
            [_fact(intent, one, index)],
            causation=causation,
        )
        for index, one in enumerate(keys)
    ]


def issued_again(
    services: Services,
    context: RequestContext,
    loaded: Loaded[Batch | None],
    reseller: str | None,
) -> Issued:
    """Return an order that was carried out before, from what is recorded of it.

    So neither a date that is over nor a catalog that has changed since makes it another answer. Who
    lost the first answer gets the codes by this one; those that are open no more come masked, and
    that the others were shown again is recorded, as `reveal_codes` does, once an hour.

    Args:
        reseller: who asks; what is another's by now comes masked. None for the vendor.
    """
    assert loaded.state
    assert loaded.state.issued
    issued = loaded.state.issued
    _, events = services.book.history(BATCH, loaded.id)
    facts = batch.reveal_again(events, context.actor, context.now)
    appended = services.book.append(context, Change(loaded, facts))
    keys = shown(services, issued, context, reseller)
    return Issued(issued.batch, keys, appended.position, replayed=True)


def shown(
    services: Services, issued: KeysIssued, context: RequestContext, reseller: str | None
) -> list[IssuedKey]:
    """Return a batch's keys in order; the code of one that is redeemed or revoked is masked."""
    keys = codes_of(services, issued)
    states = services.book.load_many(KEY, [key.stream_id(one.id) for one in keys])
    return [
        masked_unless_open(one, states[key.stream_id(one.id)].state, context, reseller)
        for one in keys
    ]


def masked_unless_open(
    one: IssuedKey, state: Key | None, context: RequestContext, reseller: str | None
) -> IssuedKey:
    """Return a key as its caller may see it: with its code masked once redeemed or revoked.

    Args:
        reseller: whose keys' codes are shown; None for all.
    """
    if state is None or not state.belongs_to(reseller):
        return one._replace(code=one.masked)
    is_open = state.status(context.now) in ("issued", "lapsed")
    return one if is_open else one._replace(code=one.masked)


def code_of(services: Services, issued: KeyIssued) -> IssuedKey:
    """Return a key with its code; that of one that was issued elsewhere stays masked."""
    if not issued.derived:
        return IssuedKey(issued.key, issued.masked, issued.masked)
    prefix = codes.prefix_of(issued.masked)
    code = services.codes.derive(prefix, issued.batch, issued.index, issued.generation)
    return IssuedKey(issued.key, code, issued.masked)


def _intent(
    services: Services,
    context: RequestContext,
    order: Order,
    reseller: str,
    batch_id: str,
    fingerprint: str,
) -> KeysIssued:
    product = services.catalog.product(order.product)
    assert product
    return KeysIssued(
        batch=batch_id,
        prefix=product.prefix,
        product=order.product,
        tier=order.tier,
        seats=order.seats,
        months=order.months,
        count=order.count,
        reseller=reseller,
        redeem_by=order.redeem_by,
        note=services.texts.seal(f"reseller-{reseller}", order.note, context.now),
        fingerprint=fingerprint,
    )


def codes_of(services: Services, issued: KeysIssued) -> list[IssuedKey]:
    """Return a batch's codes as they were issued, derived again."""
    return list(_derive(services, issued, lambda: None))


def _derive(
    services: Services, issued: KeysIssued, on_key: Callable[[], object]
) -> Iterator[IssuedKey]:
    for index in range(issued.count):
        code = services.codes.derive(issued.prefix, issued.batch, index)
        yield IssuedKey(services.codes.key_id(code), code, codes.mask(code))
        on_key()


def _fact(order: KeysIssued, issued_key: IssuedKey, index: int) -> KeyIssued:
    return KeyIssued(
        key=issued_key.id,
        masked=issued_key.masked,
        batch=order.batch,
        index=index,
        generation=0,
        derived=True,
        product=order.product,
        tier=order.tier,
        seats=order.seats,
        months=order.months,
        reseller=order.reseller,
        redeem_by=order.redeem_by,
    )


def batch_id_of(services: Services, idempotency_key: str | None, scope: str) -> str:
    """Return the id of an order's batch: the same for a repeated order."""
    chosen = ("order", scope, idempotency_key or services.random_bytes(32).hex())
    return "bat_" + codes.digest(services.request_key, *chosen)


def _errors(services: Services, order: Order, reseller: str | None) -> list[FieldError]:
    return [
        *validation.product_and_tier(services.catalog, order.product, order.tier),
        *_errors_of_itself(services, order, reseller),
    ]


def _errors_of_itself(services: Services, order: Order, reseller: str | None) -> list[FieldError]:
    """Return what does not fit whatever the catalog says."""
    return [
        *validation.within("/seats", order.seats, SEATS_MAX),
        *validation.within("/months", order.months, MONTHS_MAX),
        *validation.within("/count", order.count, COUNT_MAX),
        *validation.name(services, "/reseller", order.reseller, reseller),
        *validation.text(services, "/note", order.note, reseller=reseller),
    ]


def lapsed(order: Order, now: datetime) -> list[FieldError]:
    """Return an error for an order whose keys could never be redeemed."""
    if order.redeem_by is None or order.redeem_by > now:
        return []
    return [FieldError("/redeem_by", _("must be in the future"))]
