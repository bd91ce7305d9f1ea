"""A reseller orders keys, within what was granted; a large order waits for the vendor."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from commands import validation
from commands.issue_keys import (
    Issued,
    Order,
    batch_id_of,
    check_order,
    codes_of,
    fingerprint_of,
    intended,
    issued_again,
    key_changes,
    lapsed,
)
from commands.retry import Decided, retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.refusals import FieldError, IdempotencyKeyReused, InvalidRequest
from ledger.streams import batch, order, reseller
from ledger.streams.batch import BATCH, AllowanceCharged, KeysIssued
from ledger.streams.order import ORDER, OrderPlaced, OrderStatus, WaitingOrder
from ledger.streams.reseller import RESELLER, Ordered, Reseller, SeatsSpent
from ledger.translation import gettext as _


class PlacedOrder(NamedTuple):
    """An order that was not carried out at once."""

    order: str
    status: OrderStatus
    position: int
    replayed: bool


def order_keys(
    services: Services,
    context: RequestContext,
    wanted: Order,
    reseller_name: str,
    *,
    idempotency_key: str | None = None,
    scope: str = "",
) -> Issued | PlacedOrder:
    """Issue keys that a reseller orders for itself, or let the order wait; return either.

    The seats of all keys are spent in the commit that issues them.

    Args:
        idempotency_key, scope: as for `issue_keys`; an order that waited is answered with its keys
            once it was approved.

    Raises:
        InvalidRequest: fields that do not fit, or are beyond what was arranged.
        IdempotencyKeyReused: another order was placed with it.
        ResellerSuspended, AllowanceExceeded: in this order.
    """
    check_order(services, wanted, reseller_name)
    wanted = replace(wanted, redeem_by=validation.utc("/redeem_by", wanted.redeem_by))
    fingerprint = fingerprint_of(services, wanted)
    batch_id = batch_id_of(services, idempotency_key, scope)
    order_id = order.order_of(batch_id)

    def attempt() -> Issued | PlacedOrder:
        loaded, placed = services.book.load_all(
            (BATCH, batch.stream_id(batch_id)), (ORDER, order.stream_id(order_id))
        )
        if loaded.state is not None and batch.is_order(loaded.state, fingerprint):
            return issued_again(services, context, loaded, reseller_name)
        if placed.state is not None:
            return _placed_again(placed, fingerprint)
        ordering = services.book.load(RESELLER, reseller.stream_id(reseller_name))
        intent = intended(services, context, wanted, batch_id, fingerprint, reseller_name)
        facts = batch.issue(loaded.state, intent)
        validation.refuse_if(lapsed(wanted, context.now))
        terms = Ordered(wanted.product, wanted.tier, wanted.seats, wanted.months, wanted.count)
        reseller.admit(ordering.state, terms)
        if reseller.waits(ordering.state, terms):
            # Else the same order, sent twice at once, could be carried out and wait.
            unmoved = Change(loaded, (), required=True)
            fact = _placed(intent, order_id, context.actor)
            named = reseller.name(ordering.state, intent.reseller)
            waits = [*named, *reseller.let_wait(ordering.state, order_id, terms)]
            waiting = Change(ordering, waits, causation=placed.next_event)
            appended = services.book.append(context, Change(placed, [fact]), unmoved, waiting)
            return PlacedOrder(order_id, "waiting", appended.position, replayed=False)
        unplaced = Change(placed, (), required=True)
        return _issue(services, context, intent, Change(loaded, facts), ordering, unplaced)

    return retry_on_conflict(attempt)


def approve_order(services: Services, context: RequestContext, order_id: str) -> Issued:
    """Issue the keys of an order that waits; return them, or those that it was given before.

    Raises:
        OrderNotFound, OwnOrder, OrderDecided, ResellerSuspended, InvalidRequest (its
            `redeem_by` is over), AllowanceExceeded: in this order.
    """
    batch_id = order.batch_of(order_id)

    def attempt() -> Issued:
        loaded, waiting = services.book.load_all(
            (BATCH, batch.stream_id(batch_id)), (ORDER, order.stream_id(order_id))
        )
        found = order.found(waiting.state)
        if found.status == "approved" and loaded.state is not None:
            return issued_again(services, context, loaded, reseller=None)
        approved = order.approve(found, batch_id, context.actor)
        placed = found.placed
        ordering = services.book.load(RESELLER, reseller.stream_id(placed.reseller))
        _may_be_approved(ordering, placed, context.now)
        wanted = Order(
            *(placed.product, placed.tier, placed.seats, placed.months, placed.count),
            placed.reseller,
            placed.redeem_by,
        )
        intent = intended(services, context, wanted, batch_id, placed.fingerprint, None)
        intent = replace(intent, note=placed.note)
        facts = batch.issue(loaded.state, intent)
        change = Change(waiting, approved)
        return _issue(services, context, intent, Change(loaded, facts), ordering, change)

    return retry_on_conflict(attempt)


def decline_order(
    services: Services, context: RequestContext, order_id: str, reason: str
) -> Decided[WaitingOrder | None]:
    """Decline an order that waits, and return it just after.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        OrderNotFound, OwnOrder, OrderDecided: in this order.
    """
    validation.refuse_if(validation.reason(services, reason))

    def attempt() -> Decided[WaitingOrder | None]:
        loaded = services.book.load(ORDER, order.stream_id(order_id))
        found = order.found(loaded.state)
        ordering = services.book.load(RESELLER, reseller.stream_id(found.placed.reseller))
        owner = f"reseller-{found.placed.reseller}"
        sealed = services.texts.seal(owner, reason, context.now)
        declined = order.decline(found, context.actor, sealed)
        settled = reseller.settle(ordering.state, order_id) if declined else []
        appended = services.book.append(
            context,
            Change(loaded, declined),
            Change(ordering, settled, causation=loaded.next_event),
        )
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)


def _placed_again(placed: Loaded[WaitingOrder | None], fingerprint: str) -> PlacedOrder:
    found = order.found(placed.state)
    if found.placed.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return PlacedOrder(found.placed.order, found.status, placed.head, replayed=True)


def _may_be_approved(ordering: Loaded[Reseller], placed: OrderPlaced, now: datetime) -> None:
    """Hold an order to what is so now; the limits of single orders are the vendor's to overstep."""
    unlimited = replace(ordering.state, limits=reseller.LimitsSet())
    terms = Ordered(placed.product, placed.tier, placed.seats, placed.months, placed.count)
    if placed.redeem_by is not None and placed.redeem_by <= now:
        raise InvalidRequest(FieldError("/redeem_by", _("is over: decline the order")))
    reseller.admit(unlimited, terms)


def _issue(
    services: Services,
    context: RequestContext,
    intent: KeysIssued,
    issued: Change,
    ordering: Loaded[Reseller],
    of_order: Change,
) -> Issued:
    """Issue the keys and spend their seats, in one commit with what becomes of the order."""
    loaded, in_all = issued.loaded, intent.seats * intent.count
    spent = SeatsSpent(product=intent.product, tier=intent.tier, seats=in_all, batch=intent.batch)
    named = reseller.name(ordering.state, intent.reseller)
    settled = reseller.settle(ordering.state, order.order_of(intent.batch))
    keys = codes_of(services, intent)
    appended = services.book.append(
        context,
        of_order,
        issued._replace(facts=[*issued.facts, AllowanceCharged(seats=in_all)]),
        Change(ordering, [*named, spent, *settled], causation=loaded.next_event),
        *key_changes(intent, keys, causation=loaded.next_event),
    )
    return Issued(intent.batch, keys, appended.position, replayed=False)


def _placed(intent: KeysIssued, order_id: str, actor: str) -> OrderPlaced:
    return OrderPlaced(
        order=order_id,
        product=intent.product,
        tier=intent.tier,
        seats=intent.seats,
        months=intent.months,
        count=intent.count,
        reseller=intent.reseller,
        redeem_by=intent.redeem_by,
        note=intent.note,
        fingerprint=intent.fingerprint,
        placed_by=actor,
    )
