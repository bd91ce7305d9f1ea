"""Link a customer of Stripe's to an account."""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec.structs import replace

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from commands.record_stripe_event import waiting_facts
from ledger.book import Change, Dated, Loaded
from ledger.events import Fact, Stamp
from ledger.refusals import FieldError
from ledger.streams import account as account_stream
from ledger.streams import stripe_customer
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account
from ledger.streams.stripe_customer import STRIPE_CUSTOMER

CUSTOMER_ID = r"cus_[A-Za-z0-9_]{1,196}"


class Linked(NamedTuple):
    """The account just after.

    Attributes:
        applied: how many reports had waited, and are the account's now.
    """

    account: Loaded[Account]
    customer: str
    applied: int
    position: int


def link_customer(
    ports: Ports,
    stamp: Stamp,
    account: str,
    customer: str,
    reason: str | None = None,
    *,
    expected_version: int | None = None,
) -> Linked:
    """Link a customer; what Stripe had said about it is recorded on the account in the same commit.

    Linked already: nothing is recorded.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        VersionMismatch, CustomerLinkedElsewhere: in this order.
    """
    checks.refuse_if(
        [*checks.account(account), *_customer(customer), *checks.text(ports, "/reason", reason)]
    )

    def attempt() -> Linked:
        loaded = ports.book.load(ACCOUNT, account)
        account_stream.expect_version(loaded.version, expected_version)
        known = ports.book.load(STRIPE_CUSTOMER, customer)
        facts = stripe_customer.link(known.state, customer, account, "call")
        waiting = waiting_facts(known) if facts else []
        sealed = ports.texts.seal(f"account-{account}", reason, stamp.now)
        linked: list[Fact] = [replace(fact, reason=sealed) for fact in facts[:1]]
        on_account: list[Fact | Dated] = [*linked, *waiting]
        appended = ports.book.append(stamp, Change(loaded, on_account), Change(known, facts))
        return Linked(appended.loaded[0], customer, len(waiting), appended.position)

    return deciding(attempt)


def _customer(value: str) -> list[FieldError]:
    if re.fullmatch(CUSTOMER_ID, value):
        return []
    return [FieldError("/customer", "must be the id of a Stripe customer: cus_…")]
