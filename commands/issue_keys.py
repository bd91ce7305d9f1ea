"""Issue a batch of activation keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from ledger import codes
from ledger.book import Change, unwritten
from ledger.events import Stamp
from ledger.limits import COUNT_MAX, MONTHS_MAX, SEATS_MAX
from ledger.refusals import FieldError
from ledger.streams import batch, key
from ledger.streams.batch import BATCH, KeysIssued
from ledger.streams.key import KEY, KeyIssued


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
    ports: Ports,
    stamp: Stamp,
    order: Order,
    *,
    idempotency_key: str | None = None,
    scope: str = "",
    on_key: Callable[[], object] = lambda: None,
) -> Issued:
    """Issue keys: all of them in one commit, or none.

    Args:
        idempotency_key: an order that is repeated with it answers with the same keys.
        scope: whose idempotency key it is; one caller's keys say nothing of another's.
        on_key: called once for each code derived, to show progress.

    Raises:
        InvalidRequest: fields that do not fit.
        IdempotencyKeyReused: another order was placed with it.
    """
    checks.refuse_if(_errors(ports, order))
    order = replace(order, redeem_by=checks.utc("/redeem_by", order.redeem_by))
    product = ports.catalog.product(order.product)
    assert product
    intent = KeysIssued(
        batch=_batch_id(ports, idempotency_key, scope),
        prefix=product.prefix,
        product=order.product,
        tier=order.tier,
        seats=order.seats,
        months=order.months,
        count=order.count,
        reseller=order.reseller,
        redeem_by=order.redeem_by,
        note=ports.texts.seal(f"reseller-{order.reseller}", order.note, stamp.now),
        fingerprint=codes.digest(ports.request_key, msgspec.json.encode(order).decode()),
    )
    keys = list(_derive(ports, intent, on_key))

    def attempt() -> Issued:
        loaded = ports.book.load(BATCH, batch.stream_id(intent.batch))
        facts = batch.issue(loaded.state, intent)
        if not facts:
            return Issued(intent.batch, keys, loaded.head, replayed=True)
        # Only now: an order that is repeated after the date is answered as it was before.
        checks.refuse_if(_lapsed(order, stamp.now))
        appended = ports.book.append(
            stamp,
            Change(loaded, facts),
            *(
                Change(
                    unwritten(KEY, key.stream_id(one.id)),
                    [_fact(intent, one, index)],
                    causation=loaded.next_event,
                )
                for index, one in enumerate(keys)
            ),
        )
        return Issued(intent.batch, keys, appended.position, replayed=False)

    return deciding(attempt)


def codes_of(ports: Ports, issued: KeysIssued) -> list[IssuedKey]:
    """Answer a batch's codes as they were issued, derived again."""
    return list(_derive(ports, issued, lambda: None))


def _derive(ports: Ports, issued: KeysIssued, on_key: Callable[[], object]) -> Iterator[IssuedKey]:
    for index in range(issued.count):
        code = ports.codes.derive(issued.prefix, issued.batch, index)
        yield IssuedKey(ports.codes.key_id(code), code, codes.mask(code))
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


def _batch_id(ports: Ports, idempotency_key: str | None, scope: str) -> str:
    chosen = ("order", scope, idempotency_key or ports.random_bytes(32).hex())
    return "bat_" + codes.digest(ports.request_key, *chosen)


def _errors(ports: Ports, order: Order) -> list[FieldError]:
    return [
        *checks.product_and_tier(ports.catalog, order.product, order.tier),
        *checks.within("/seats", order.seats, SEATS_MAX),
        *checks.within("/months", order.months, MONTHS_MAX),
        *checks.within("/count", order.count, COUNT_MAX),
        *checks.name("/reseller", order.reseller),
        *checks.text("/note", order.note),
    ]


def _lapsed(order: Order, now: datetime) -> list[FieldError]:
    if order.redeem_by is None or order.redeem_by > now:
        return []
    return [FieldError("/redeem_by", "must be in the future")]
