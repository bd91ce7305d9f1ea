"""What time does: renewals, trials that end, retries, ends that were set."""

from __future__ import annotations

from tests.stripe_server import invoices
from tests.stripe_server.blanks import mirror_single_item
from tests.stripe_server.checkout import expire
from tests.stripe_server.errors import Json
from tests.stripe_server.payments import collect, follow, may_go_on, settle
from tests.stripe_server.pending import invoice_pending
from tests.stripe_server.periods import period_at
from tests.stripe_server.prorations import recurring_line
from tests.stripe_server.subscriptions import end, set_items, spend_discounts, watch
from tests.stripe_server.world import World, copied, differences


def advance(world: World, until: int) -> None:
    """Let the time go on, and what falls due happen at its moment."""
    assert until >= world.clock, "time does not go back"
    while (due := world.next_due(until)) is not None:
        at, kind, name = due
        world.clock = max(world.clock, at)
        HANDLERS[kind](world, name)
    world.clock = until


def _changed(world: World, subscription: Json, before: Json) -> None:
    previous = differences(before, subscription)
    if previous:
        world.emit("customer.subscription.updated", subscription, previous)


def roll(world: World, name: str) -> None:
    """Look at a subscription: has it to end, to go on, to be collected for again?"""
    subscription = world.tables["subscription"].get(name)
    if subscription is None or subscription["status"] not in {
        "active",
        "trialing",
        "past_due",
        "unpaid",
    }:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= world.clock:
        end(world, subscription)
        return
    before = copied(subscription)
    pause = subscription["pause_collection"]
    if pause and pause["resumes_at"] is not None and pause["resumes_at"] <= world.clock:
        subscription["pause_collection"] = None
    over = subscription["status"] == "trialing" and subscription["trial_end"] <= world.clock
    if over and not _end_trial(world, subscription, before):
        return
    _renew(world, subscription, before)


def _end_trial(world: World, subscription: Json, before: Json) -> bool:
    """End a trial; say whether the subscription goes on."""
    if may_go_on(world, subscription):
        subscription["status"] = "active"
        return True
    if subscription["trial_settings"]["end_behavior"]["missing_payment_method"] == "cancel":
        end(world, subscription, "payment_failed")
    else:
        set_paused(world, subscription, "trial_end_without_payment_method", before)
    return False


def _renew(world: World, subscription: Json, before: Json) -> None:
    over = [
        item for item in subscription["items"]["data"] if item["current_period_end"] <= world.clock
    ]
    if not over:
        _changed(world, subscription, before)
        return
    # Metered use is billed when its period is over; what is licensed, before it begins.
    ended = min(item["current_period_start"] for item in over)
    for item in over:
        start, stop = period_at(
            subscription["billing_cycle_anchor"], item["price"]["recurring"], world.clock
        )
        item["current_period_start"], item["current_period_end"] = start, stop
    lines = [recurring_line(world, item) for item in over]
    invoice = invoice_pending(world, subscription, "subscription_cycle", lines)
    invoice["period_start"], invoice["period_end"] = ended, world.clock
    spend_discounts(world, subscription)
    mirror_single_item(subscription)
    _changed(world, subscription, before)
    _plan_collection(world, subscription, invoice)
    watch(world, subscription)


def _plan_collection(world: World, subscription: Json, invoice: Json) -> None:
    pause = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False
    elif pause:
        invoices.finalize(world, invoice)
        status = {"void": "void", "mark_uncollectible": "uncollectible"}[pause["behavior"]]
        invoices.mark(world, invoice, status)
    else:
        at = world.clock + world.settings.draft_s
        invoice["automatically_finalizes_at"] = at
        world.due(at, "invoice", invoice["id"])


def bill(world: World, name: str) -> None:
    """Finalise a draft whose hour has come, or try again to be paid for an open invoice."""
    invoice = world.tables["invoice"][name]
    subscription = invoices.subscription_of(world, invoice)
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        settle(world, invoice)
    elif invoice["status"] == "open" and invoice["next_payment_attempt"] == world.clock:
        collect(world, invoice)
    else:
        return
    follow(world, invoice)
    exhausted = invoice["status"] == "open" and invoice["next_payment_attempt"] is None
    if exhausted and invoice["attempted"] and subscription is not None:
        give_up(world, subscription)


def give_up(world: World, subscription: Json) -> None:
    """Do with a subscription what the account's settings say after the last retry."""
    final = world.settings.after_retries
    if subscription["status"] != "past_due" or final == "past_due":
        return
    if final == "cancel":
        end(world, subscription, "payment_failed")
        return
    before = copied(subscription)
    subscription["status"] = "unpaid"
    _changed(world, subscription, before)


def overdue(world: World, name: str) -> None:
    """Call a subscription past due when an invoice that was sent is not paid in time."""
    invoice = world.tables["invoice"][name]
    if invoice["status"] == "open":
        follow(world, invoice)


def tell_trial_end(world: World, name: str) -> None:
    """Tell three days ahead that a trial ends."""
    subscription = world.tables["subscription"].get(name)
    if subscription and subscription["status"] == "trialing":
        world.emit("customer.subscription.trial_will_end", subscription)


def expire_incomplete(world: World, name: str) -> None:
    """Give up a subscription whose first payment never came."""
    subscription = world.tables["subscription"][name]
    if subscription["status"] != "incomplete":
        return
    before = copied(subscription)
    subscription |= {"status": "incomplete_expired", "ended_at": world.clock}
    invoice = world.tables["invoice"][subscription["latest_invoice"]]
    if invoice["status"] == "open":
        invoices.mark(world, invoice, "void")
    _changed(world, subscription, before)


def expire_pending_update(world: World, name: str) -> None:
    """Drop a change whose invoice was not paid in time."""
    held = world.pending_updates.pop(name, None)
    if held is None:
        return
    invoices.mark(world, world.tables["invoice"][name], "void")
    subscription = world.tables["subscription"][held["subscription"]]
    before = copied(subscription)
    subscription["pending_update"] = None
    world.emit("customer.subscription.pending_update_expired", subscription)
    _changed(world, subscription, before)


def apply_pending_update(world: World, name: str) -> None:
    """Make a change that waited for its invoice to be paid."""
    held = world.pending_updates.pop(name, None)
    if held is None:
        return
    subscription = world.tables["subscription"][held["subscription"]]
    before = copied(subscription)
    subscription["pending_update"] = None
    set_items(world, subscription, held["items"])
    world.emit("customer.subscription.pending_update_applied", subscription)
    _changed(world, subscription, before)
    watch(world, subscription)


def set_paused(world: World, subscription: Json, why: str, before: Json | None = None) -> None:
    """Put a subscription to rest."""
    before = copied(subscription) if before is None else before
    subscription["status"] = "paused"
    subscription["status_details"] = {
        "paused": {
            "subscription": {"type": why},
            "transitioned_at": world.clock,
            "type": "subscription",
        }
    }
    world.emit("customer.subscription.paused", subscription)
    _changed(world, subscription, before)


def expire_session(world: World, name: str) -> None:
    """Let a Checkout session that nobody completed be over."""
    expire(world, name)


HANDLERS = {
    "subscription": roll,
    "invoice": bill,
    "overdue": overdue,
    "trial_will_end": tell_trial_end,
    "incomplete": expire_incomplete,
    "pending_update": expire_pending_update,
    "paid_update": apply_pending_update,
    "checkout": expire_session,
}
