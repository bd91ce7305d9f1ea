"""Take over customers that Stripe has already: link each to its account, and record what it bought.

    customer,account
    cus_QXg1o8vcGmoR32,acme

Which account a customer is, a table says, or a key in the metadata that the customer has at Stripe.
What is linked and recorded already stays, so a run can be made again, also after one that broke
off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from commands import validation
from commands.gateways.stripe_responses import Retrieved, StripeNotConfigured
from commands.import_keys import csv_rows
from commands.link_customer import CUSTOMER_ID, link_customer
from commands.reconcile_stripe import Run, subscription_drift
from commands.record_stripe_event import known_of, read_retrieved
from commands.services import Services
from commands.stripe_calls import Now
from ledger.refusals import CustomerLinkedElsewhere, FieldError, InvalidRequest
from ledger.streams import stripe_customer
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.stripe.facts import StripeSubscriptionReported

COLUMNS: Final = ("customer", "account")
ELSEWHERE: Final = "is linked to another account"
NOT_THERE: Final = "Stripe has no such customer"


class AdoptedCustomer(NamedTuple):
    """What became of a customer.

    Attributes:
        account: None where nothing that can be one is named.
        outcome: `linked` is what a dry run would link, too.
        why: it is refused; None otherwise.
    """

    customer: str
    account: str | None
    outcome: Literal["linked", "unchanged", "refused"]
    why: str | None


class AdoptedSubscription(NamedTuple):
    """A subscription of such a customer that was not on record as it is, or gives too little.

    Attributes:
        account: whose it is, or would be; another than its customer's if something stronger says
            so.
        drift: in what it differed from the ledger; None if in nothing.
        unmapped: prices that mean nothing in the catalog, and give no seats.
    """

    stripe_subscription: str
    customer: str
    account: str | None
    drift: str | None
    unmapped: list[str]


def read_table(services: Services, lines: Iterable[str]) -> dict[str, str]:
    """Return the accounts of a table's customers.

    Raises:
        InvalidRequest: a line does not fit; all of them are told, by line and column.
    """
    columns: list[str] | None = None
    found: dict[str, tuple[int, str]] = {}
    errors: list[FieldError] = []
    for number, fields in csv_rows(lines, COLUMNS):
        if columns is None:
            columns = [name.lower() for name in fields or ()]
            if sorted(columns) != sorted(COLUMNS):
                raise InvalidRequest(FieldError("/file", "must have the columns customer,account"))
        elif fields is None or len(fields) != len(columns):
            errors.append(FieldError(f"/line {number}", "must have two fields"))
        else:
            named = dict(zip(columns, fields, strict=True))
            errors += [
                FieldError(f"/line {number}{one.pointer}", one.detail)
                for one in _errors(services, named)
            ]
            if named["customer"] in found:
                first = found[named["customer"]][0]
                errors.append(FieldError(f"/line {number}/customer", f"repeats line {first}"))
            found.setdefault(named["customer"], (number, named["account"]))
    if columns is None:
        raise InvalidRequest(FieldError("/file", "must have the columns customer,account"))
    validation.refuse_if(errors)
    return {customer: account for customer, (_, account) in found.items()}


def named_in_metadata(services: Services, key: str) -> Iterator[tuple[str, str]]:
    """Yield each customer of Stripe's whose metadata have this key, and what stands there.

    Raises:
        StripeNotConfigured, StripeKeyRefused, StripeUnavailable.
    """
    for found in _customers(services):
        account = (found.get("metadata") or {}).get(key)
        if account:
            yield found["id"], account


def _customers(services: Services) -> Iterator[dict[str, Any]]:
    if services.stripe is None:
        raise StripeNotConfigured
    return services.stripe.customers()


def adopt_customers(
    services: Services, now: Now, accounts: Mapping[str, str], *, dry_run: bool = False
) -> Iterator[AdoptedCustomer]:
    """Link customers to their accounts, and yield what became of each as it is done.

    All of Stripe's are listed first, so that one that was mistyped is told.

    Raises:
        StripeNotConfigured, StripeKeyRefused, StripeUnavailable: nothing was linked.
    """
    there = {str(found["id"]) for found in _customers(services)}
    known = services.book.load_many(STRIPE_CUSTOMER, sorted(accounts))
    for customer, account in sorted(accounts.items()):
        errors = _errors(services, {"customer": customer, "account": account})
        if errors:
            yield AdoptedCustomer(customer, None, "refused", f"its account {errors[0].detail}")
            continue
        if customer not in there:
            yield AdoptedCustomer(customer, account, "refused", NOT_THERE)
            continue
        try:
            facts = stripe_customer.link(known[customer].state, customer, account, "call")
            if facts and not dry_run:
                link_customer(services, now(), account, customer)
        except CustomerLinkedElsewhere:
            yield AdoptedCustomer(customer, account, "refused", ELSEWHERE)
            continue
        yield AdoptedCustomer(customer, account, "linked" if facts else "unchanged", None)


def adopt_subscriptions(
    services: Services, now: Now, accounts: Mapping[str, str], *, dry_run: bool = False
) -> Iterator[AdoptedSubscription]:
    """Record the subscriptions of customers that were linked, ended ones too; yield what differed.

    All of Stripe's are listed, a hundred at a time, and those of other customers passed over.

    Raises:
        StripeNotConfigured, StripeKeyRefused, StripeUnavailable: what was yielded is recorded.
    """
    if services.stripe is None:
        raise StripeNotConfigured
    run = Run(services, now, services.stripe, dry_run)
    for found in services.stripe.subscriptions():
        customer = _customer_of(found)
        if customer not in accounts:
            continue
        drift = list(subscription_drift(run, found))
        read = read_retrieved(services, now(), found)
        if read is None:
            continue
        report, named = read
        whose = drift[0].account if drift else known_of(services, report, named).account
        unmapped = [] if report.is_end else _unmapped(services, report, named)
        if drift or unmapped:
            yield AdoptedSubscription(
                *(report.stripe_subscription, customer, whose or named or accounts[customer]),
                "; ".join(one.what for one in drift) or None,
                unmapped,
            )


def _unmapped(
    services: Services, report: StripeSubscriptionReported, named: str | None
) -> list[str]:
    """Return the prices that mean nothing: on record, or in the catalog before they are."""
    account, known, _ = known_of(services, report, named)
    if account is not None and known is not None:
        return known.unmapped(services.book.load(ACCOUNT, account).state.stripe.mapped)
    return [one.price for one in report.items or () if one.price and one.meaning is None]


def _customer_of(found: Retrieved) -> str:
    customer = found.object["customer"]
    return str(customer["id"] if isinstance(customer, dict) else customer)


def _errors(services: Services, named: Mapping[str, str]) -> list[FieldError]:
    errors = [
        *validation.account(named["account"]),
        *validation.no_code(services, "/account", named["account"]),
    ]
    if not re.fullmatch(CUSTOMER_ID, named["customer"]):
        errors.append(FieldError("/customer", "must be the id of a Stripe customer: cus_…"))
    return errors
