"""Payments of invoices: intent, charge and what joins them to the invoice; failures and retries."""

from __future__ import annotations

from tests.stripe_server.errors import Json, declined, invalid
from tests.stripe_server.invoices import finalize, mark, subscription_of
from tests.stripe_server.world import DAY, World, copied, differences


def new_intent(world: World, amount: int, currency: str, customer: str | None) -> Json:
    """Make a payment intent that waits for its payment."""
    name = world.new_id("pi")
    return world.add(
        {
            "id": name,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "application": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{name}_secret_{world.rng.getrandbits(64):016x}",
            "confirmation_method": "automatic",
            "created": world.clock,
            "currency": currency,
            "customer": customer,
            "description": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": world.settings.livemode,
            "metadata": {},
            "next_action": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "setup_future_usage": None,
            "status": "requires_payment_method",
        }
    )


def new_charge(world: World, intent: Json, *, failure: str | None) -> Json:
    """Make the charge of an attempt."""
    paid = failure is None
    charge = world.add(
        {
            "id": world.new_id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if paid else 0,
            "amount_refunded": 0,
            "billing_details": {
                "address": None,
                "email": None,
                "name": None,
                "phone": None,
                "tax_id": None,
            },
            "captured": paid,
            "created": world.clock,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": failure,
            "failure_message": None if paid else "Your card was declined.",
            "livemode": world.settings.livemode,
            "metadata": intent["metadata"],
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": intent["payment_method"],
            "receipt_email": None,
            "receipt_url": None,
            "refunded": False,
            "shipping": None,
            "status": "succeeded" if paid else "failed",
        }
    )
    intent["latest_charge"] = charge["id"]
    world.emit("charge.succeeded" if paid else "charge.failed", charge)
    return charge


def failure_of(world: World, customer: str | None) -> str | None:
    """Return why a payment by a customer would fail; None if it would not."""
    if customer in world.without_card:
        return "payment_method_required"
    return world.failing.get(customer or "")


def may_go_on(world: World, subscription: Json) -> bool:
    """Say whether a trial may end in a subscription: unless it asks for a card and there is none.

    A customer's payments are good even without a card, which spares tests the making of cards; but
    who sets what becomes of a trial without one means it.
    """
    asked = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    customer = subscription["customer"]
    return bool(
        asked == "create_invoice"
        or (customer in world.with_card and customer not in world.without_card)
    )


def attempt(world: World, intent: Json) -> str | None:
    """Try to pay an intent. Returns why it failed, None if it did not."""
    failure = failure_of(world, intent["customer"])
    new_charge(world, intent, failure=failure)
    if failure is None:
        intent["status"] = "succeeded"
        intent["amount_received"] = intent["amount"]
        intent["last_payment_error"] = None
        world.emit("payment_intent.succeeded", intent)
    else:
        intent["last_payment_error"] = {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": "generic_decline",
            "message": "Your card was declined.",
        }
        world.emit("payment_intent.payment_failed", intent)
    return failure


def _payment_of(world: World, invoice: Json) -> Json:
    """Return the payment an open invoice waits for, made at the first attempt."""
    for name in world.payments[invoice["id"]]:
        if world.tables["invoice_payment"][name]["status"] == "open":
            return world.tables["invoice_payment"][name]
    intent = new_intent(world, invoice["amount_due"], invoice["currency"], invoice["customer"])
    world.emit("payment_intent.created", intent)
    payment = world.add(
        {
            "id": world.new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": world.clock,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": world.settings.livemode,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
    world.payments[invoice["id"]].append(payment["id"])
    return payment


def collect(world: World, invoice: Json) -> bool:
    """Try to be paid for an open invoice, and tell of it."""
    if invoice["amount_due"] == 0:
        _paid(world, invoice)
        return True
    payment = _payment_of(world, invoice)
    failure = attempt(world, world.get("payment_intent", payment["payment"]["payment_intent"]))
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if failure is None:
        payment |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment["status_transitions"]["paid_at"] = world.clock
        invoice["amount_paid"] = invoice["amount_due"]
        invoice["amount_remaining"] = 0
        world.emit("invoice_payment.paid", payment)
        _paid(world, invoice)
        return True
    _plan_retry(world, invoice)
    world.emit("invoice.payment_failed", invoice)
    return False


def _paid(world: World, invoice: Json) -> None:
    invoice["status"] = "paid"
    invoice["attempted"] = True
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["paid_at"] = world.clock
    if invoice["id"] in world.pending_updates:
        world.due(world.clock, "paid_update", invoice["id"])
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)


def _plan_retry(world: World, invoice: Json) -> None:
    tried = invoice["attempt_count"]
    days = world.settings.retry_days
    first = invoice["billing_reason"] == "subscription_create"
    at = None if first or tried > len(days) else world.clock + days[tried - 1] * DAY
    invoice["next_payment_attempt"] = at
    world.due(at, "invoice", invoice["id"])


def settle(world: World, invoice: Json) -> bool:
    """Finalise a draft if it still is one, collect, and let the subscription's status follow."""
    if invoice["status"] == "draft":
        finalize(world, invoice)
    if invoice["collection_method"] == "send_invoice" and invoice["amount_due"] > 0:
        subscription = subscription_of(world, invoice)
        days = (subscription or {}).get("days_until_due") or 30
        invoice["due_date"] = world.clock + days * DAY
        world.due(invoice["due_date"] + 1, "overdue", invoice["id"])
        world.emit("invoice.sent", invoice)
        return True
    return collect(world, invoice)


def follow(world: World, invoice: Json) -> None:
    """Let a subscription's status follow what became of its invoice."""
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["status"] in {"canceled", "incomplete_expired"}:
        return
    before = copied(subscription)
    if invoice["status"] == "paid":
        recovering = subscription["status"] in {"past_due", "unpaid", "incomplete"}
        if recovering and subscription["latest_invoice"] == invoice["id"]:
            subscription["status"] = "active"
    elif subscription["status"] == "active":
        subscription["status"] = "past_due"
    previous = differences(before, subscription)
    if previous:
        world.emit("customer.subscription.updated", subscription, previous)


def pay_invoice(world: World, params: Json, name: str) -> Json:
    """Pay an invoice now, as its customer or an operator does."""
    invoice = world.get("invoice", name)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in {"open", "draft", "uncollectible"}:
        raise invalid(f"This invoice is {invoice['status']} and cannot be paid.")
    if invoice["status"] == "draft":
        finalize(world, invoice)
    if params.get("paid_out_of_band"):
        invoice["amount_remaining"] = 0
        _paid(world, invoice)
    elif not collect(world, invoice):
        follow(world, invoice)
        raise declined()
    follow(world, invoice)
    return invoice


def void_invoice(world: World, params: Json, name: str) -> Json:
    """Void an open invoice."""
    invoice = world.get("invoice", name)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise invalid("You can only pass in open invoices.", code="invoice_not_editable")
    return mark(world, invoice, "void")
