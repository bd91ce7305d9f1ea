"""What is changed from an account's page: seats, subscriptions, what is Stripe's, access."""

from __future__ import annotations

from flask import Response, url_for

from commands.assign_subscription import assign_subscription
from commands.clear_attempts import clear_attempts
from commands.link_customer import link_customer, unlink_customer
from commands.open_portal_session import end_portal_sessions
from commands.release_seat import release_seat
from commands.terminate_subscription import terminate_subscription
from ledger.refusals import Refusal, SeatNotOccupied
from web.app.context import request_context, services
from web.console import accounts, form_fields
from web.console.refusal_messages import saying
from web.html.rendering import see


def release(account: str) -> Response:
    """Give a holder's seat back."""
    account = form_fields.account_id(account)
    try:
        product, holder = form_fields.sent("product") or "", form_fields.sent("holder") or ""
        release_seat(services(), request_context(), account, product, holder, form_fields.reason())
    except SeatNotOccupied:
        return _see(account, "gone")
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "released")


def terminate(account: str) -> Response:
    """End a subscription before its time."""
    account = form_fields.account_id(account)
    try:
        subscription = form_fields.sent("subscription") or ""
        terminate_subscription(
            services(), request_context(), account, subscription, form_fields.reason()
        )
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "terminated")


def link(account: str) -> Response:
    """Link a customer of Stripe's."""
    account = form_fields.account_id(account)
    try:
        link_customer(
            services(),
            request_context(),
            account,
            form_fields.text("customer"),
            form_fields.reason(),
        )
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "linked")


def unlink(account: str) -> Response:
    """Take a customer of Stripe's away."""
    account = form_fields.account_id(account)
    try:
        unlink_customer(
            services(),
            request_context(),
            account,
            form_fields.text("customer"),
            form_fields.reason(),
        )
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "unlinked")


def assign(account: str) -> Response:
    """Give a subscription of Stripe's to the account."""
    account = form_fields.account_id(account)
    try:
        subscription, moved_from = (
            form_fields.text("stripe_subscription"),
            form_fields.text("from") or None,
        )
        assign_subscription(
            services(), request_context(), account, subscription, form_fields.reason(), moved_from
        )
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "assigned")


def end_sessions(account: str) -> Response:
    """End every session of the account's customers, and take unopened links back."""
    account = form_fields.account_id(account)
    try:
        end_portal_sessions(services(), request_context(), account, form_fields.reason())
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "ended")


def let_try_again(account: str) -> Response:
    """Lift the blocks of an account and its sessions after too many failed tries."""
    account = form_fields.account_id(account)
    try:
        clear_attempts(services(), request_context(), account, form_fields.reason())
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "cleared")


def _see(account: str, done: str) -> Response:
    return see(url_for("console.show_account", account=account, done=done))
