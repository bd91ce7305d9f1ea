"""What is changed from an account's page: a seat, a subscription, the link to Stripe."""

from __future__ import annotations

from flask import Response, url_for

from commands.link_customer import link_customer
from commands.release_seat import release_seat
from commands.terminate_subscription import terminate_subscription
from ledger.refusals import Refusal, SeatNotOccupied
from web.console import accounts, asking
from web.console.refused import saying
from web.context import ports, stamp
from web.pages.rendering import see


def release(account: str) -> Response:
    """Give a holder's seat back."""
    account = asking.account_id(account)
    try:
        product, holder = asking.sent("product") or "", asking.sent("holder") or ""
        release_seat(ports(), stamp(), account, product, holder, asking.reason())
    except SeatNotOccupied:
        return _see(account, "gone")
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "released")


def terminate(account: str) -> Response:
    """End a subscription before its time."""
    account = asking.account_id(account)
    try:
        subscription = asking.sent("subscription") or ""
        terminate_subscription(ports(), stamp(), account, subscription, asking.reason())
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "terminated")


def link(account: str) -> Response:
    """Link a customer of Stripe's."""
    account = asking.account_id(account)
    try:
        link_customer(ports(), stamp(), account, asking.text("customer"), asking.reason())
    except Refusal as refusal:
        return accounts.show(account, saying(refusal))
    return _see(account, "linked")


def _see(account: str, done: str) -> Response:
    return see(url_for("console.show_account", account=account, done=done))
