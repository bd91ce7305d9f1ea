"""Record what Stripe says: an event that it sent, or an answer that it gave.

An event is recorded once, in one commit with what it reports: on the account that it belongs to,
or, while nobody knows whose it is, on its customer. Nothing is dropped: what is of no use is
recorded by its envelope, and what cannot be understood is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from commands import validation
from commands.gateways.stripe_responses import (
    Retrieved,
    StripeFault,
)
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_draft import Draft
from commands.stripe_ownership import pay, settle
from commands.stripe_transfers import Names, add_report, dated, own_payments, wait
from ledger.book import Dated
from ledger.events import RequestContext, Stream
from ledger.loaded import Loaded
from ledger.streams import stripe_object
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.streams.stripe_event import STRIPE_EVENT, Outcome, StripeEventReceived
from ledger.streams.stripe_object import STRIPE_OBJECT, objects_of
from ledger.stripe.facts import (
    RETRIEVED,
    StripeChargeReported,
    StripeInvoiceReported,
    StripeReport,
    StripeSubscriptionReported,
)
from ledger.stripe.invoices import LINES_ASKED, read_invoice
from ledger.stripe.objects import StripeEvent, read_report, read_subscription
from ledger.stripe.reader import ACCOUNT_FIELD, Origin, Read
from ledger.stripe.report_comparison import is_news, is_repetition, is_tie
from ledger.stripe.subscriptions import StripeSubscription, with_known_meanings

FoundBy = Literal["webhook", "file", "reconciling"]


class Recorded(NamedTuple):
    """What became of an event, or of an answer.

    Attributes:
        account: on which it was reported, if on one.
        position: of the last event of ours.
        new: false when it was on record before.
    """

    outcome: Outcome
    account: str | None
    position: int
    new: bool


# What Stripe answered by the subscription that it was asked for, and the context of then; None if
# it did not tell.
Answers = dict[str, tuple[Retrieved, RequestContext] | None]


def record_event(
    services: Services, context: RequestContext, event: StripeEvent, found_by: FoundBy
) -> Recorded:
    """Record an event of Stripe's, once, and return what became of it, now or before.

    Stripe is asked only when the event contradicts another one of the same second, does not tell
    all items of a subscription or all lines of an invoice, or is of a payment that is nobody's; if
    it does not answer then, the event is recorded all the same, and `stripe reconcile` asks again
    for the subscription.
    """
    read = _without_code(services, read_report(event, services.catalog))
    answers: Answers = {}
    asked: set[str] = set()

    def attempt() -> Recorded:
        nonlocal read
        draft = Draft(services)
        received, *_ = draft.load_all((STRIPE_EVENT, event.id), *_streams_of(read))
        if received.state is not None:
            known = received.state
            return Recorded(known.outcome, known.account, received.head, new=False)
        whole = _with_invoice(services, _with_all_lines(services, event, read, asked), asked)
        if whole is not read:
            read = _without_code(services, whole)
        draft.put_first(received)
        delivery = _Delivery(draft, context, event, received, found_by, read.problems)
        if read.invoice is not None:
            account = pay(draft, read.invoice, read.payments, received)
            return _record(delivery, "reported" if account is not None else "waiting", account)
        if read.report is None:
            return _record(delivery, "not_understood" if read.wanted else "ignored", None)
        return _report(delivery, read, read.report, answers)

    recorded = retry_on_conflict(attempt)
    if read.invoice is not None and recorded.outcome == "waiting":
        _pair(services, context, read.invoice)
    return recorded


def record_retrieved(
    services: Services, context: RequestContext, found: Retrieved
) -> Recorded | None:
    """Record how a subscription is, as Stripe told, and return what became of it.

    None when that is what we had.

    Where nobody knows whose it is, it waits with its customer.
    """
    read = read_retrieved(services, context, found)
    if read is None:
        return None
    report, named = read

    def attempt() -> Recorded | None:
        draft = Draft(services)
        account = settle(draft, report, Names(named)).account
        known = _known(draft, report, account)
        if account is None and known is not None and not is_news(known, report):
            return None
        told = known or _known(draft, report, None)
        said = with_known_meanings(told, report)
        if account is None:
            wait(draft, said, Names(named))
            return Recorded("waiting", None, draft.append(context).position, new=True)
        if is_news(known, report):
            add_report(draft, account, said)
        if not draft.changes_accounts():
            return None
        return Recorded("reported", account, draft.append(context).position, new=True)

    return retry_on_conflict(attempt)


def asked_after(context: RequestContext, known: StripeSubscription | None) -> RequestContext:
    """Return a context in which a subscription is fetched later than it was when it became known.

    A request reads the clock once, and Stripe's own has only seconds.
    """
    fetched_at = known.latest.retrieved_at if known else None
    if fetched_at is None or fetched_at < context.now:
        return context
    return context._replace(now=fetched_at + timedelta(microseconds=1))


def add_retrieved(draft: Draft, context: RequestContext, found: Retrieved) -> None:
    """Add to a draft how a subscription is, as Stripe answered a change of it, news or not.

    It ranks after any answer that is known: the clock may not have moved since.
    """
    read = read_retrieved(draft.services, context, found)
    if read is None:
        return
    report, named = read
    account = settle(draft, report, Names(named)).account
    known = _known(draft, report, account)
    if known is not None and known.latest.retrieved_at is not None:
        after = known.latest.retrieved_at + timedelta(microseconds=1)
        report = replace(report, retrieved_at=max(report.retrieved_at or after, after))
    said = with_known_meanings(known, report)
    if account is not None:
        add_report(draft, account, said)
    else:
        wait(draft, said, Names(named))


def read_retrieved(
    services: Services, context: RequestContext, found: Retrieved
) -> tuple[StripeSubscriptionReported, str | None] | None:
    """Return what Stripe answered as our fact, and the account that it names."""
    origin = Origin(RETRIEVED, found.at, retrieved_at=context.now)
    read = read_subscription(found.object, origin, services.catalog)
    if not isinstance(read.report, StripeSubscriptionReported):
        return None
    return read.report, _without_code(services, read).account


def _without_code(services: Services, read: Read) -> Read:
    """Return what was read, naming no account by an activation code: it would be kept as an id."""
    named = {f"metadata.{ACCOUNT_FIELD}": read.account, "client_reference_id": read.claimed}
    bad = {path for path, id in named.items() if id and validation.id_holds_code(services, id)}
    if not bad:
        return read
    problems = tuple(dict.fromkeys([*read.problems, *sorted(bad)]))
    return read._replace(
        account=None if f"metadata.{ACCOUNT_FIELD}" in bad else read.account,
        claimed=None if "client_reference_id" in bad else read.claimed,
        problems=problems,
        report=replace(read.report, problems=problems) if read.report else None,
    )


class Known(NamedTuple):
    """A subscription as it is on record.

    Attributes:
        account: whose it is by all that is known now; None while nobody knows.
        subscription: its state there; None where it is not on record.
        others: accounts that have it as well, and are to give it up.
    """

    account: str | None
    subscription: StripeSubscription | None
    others: list[str]


def known_of(services: Services, report: StripeSubscriptionReported, named: str | None) -> Known:
    """Return what is on record of the subscription that a report is about."""
    draft = Draft(services)
    account = settle(draft, report, Names(named)).account
    others = draft.loses(report.stripe_subscription)
    return Known(account, _known(draft, report, account), others)


def _known(
    draft: Draft, report: StripeSubscriptionReported, account: str | None
) -> StripeSubscription | None:
    id = report.stripe_subscription
    if account is not None:
        return draft.account(account).state.stripe.subscriptions.get(id)
    if report.customer is not None:
        return stripe_object.waiting_subscription(draft.customer(report.customer).state.waiting, id)
    return stripe_object.waiting_subscription(draft.object(id).state.waiting, id)


# One event


def _with_all_lines(services: Services, event: StripeEvent, read: Read, asked: set[str]) -> Read:
    """Return an invoice with the lines that the event leaves out, if Stripe lists them now.

    Stripe is asked once.
    """
    report = read.report
    if not isinstance(report, StripeInvoiceReported) or not report.lacks_lines:
        return read
    if services.stripe is None or report.invoice in asked:
        return read
    asked.add(report.invoice)
    try:
        lines = services.stripe.invoice_lines(report.invoice, LINES_ASKED)
    except StripeFault:
        return read
    listed = {**event.data["lines"], "data": lines, "has_more": False}
    return read_report(event._replace(data={**event.data, "lines": listed}), services.catalog)


def _with_invoice(services: Services, read: Read, asked: set[str]) -> Read:
    """Return a refund or a dispute with the subscription and customer of the invoice it is about.

    Since 2025 neither names its invoice, nor an invoice what it was paid by. Stripe is asked once,
    and only where the ledger does not know whose the payment is.
    """
    report = read.report
    if not isinstance(report, StripeChargeReported) or report.payment_intent is None:
        return read
    known = (services.book.load(STRIPE_OBJECT, id).state for id in objects_of(report))
    if (
        services.stripe is None
        or report.payment_intent in asked
        or any(one.account for one in known)
    ):
        return read
    asked.add(report.payment_intent)
    try:
        found = services.stripe.invoice_paid_by(report.payment_intent)
    except StripeFault:
        return read
    if found is None:
        return read
    invoice = read_invoice(found.object, Origin(RETRIEVED, found.at)).report
    if not isinstance(invoice, StripeInvoiceReported):
        return read
    of = (invoice.stripe_subscription,) if invoice.stripe_subscription is not None else ()
    customer = report.customer or invoice.customer
    return read._replace(report=replace(report, customer=customer), payments=of)


def _streams_of(read: Read) -> Iterator[tuple[Stream[Any], str]]:
    """Return the streams that a report is most likely to be held against."""
    if read.report is not None:
        yield from ((STRIPE_OBJECT, id) for id in objects_of(read.report))
        if read.report.customer is not None:
            yield STRIPE_CUSTOMER, read.report.customer
        if read.account is not None:
            yield ACCOUNT, read.account


class _Delivery(NamedTuple):
    """An event that is not on record yet, and what is recorded with it."""

    draft: Draft
    context: RequestContext
    event: StripeEvent
    received: Loaded[StripeEventReceived | None]
    found_by: FoundBy
    problems: tuple[str, ...]


def _report(delivery: _Delivery, read: Read, report: StripeReport, answers: Answers) -> Recorded:
    """Record an event with what it reports, and with what Stripe says when it is asked."""
    draft, names = delivery.draft, Names(read.account, read.claimed, read.payments)
    account, problems = settle(draft, report, names)
    delivery = delivery._replace(problems=(*read.problems, *problems))
    fetched: list[StripeReport] = []
    if isinstance(report, StripeSubscriptionReported):
        known = _known(draft, report, account)
        report = with_known_meanings(known or _known(draft, report, None), report)
        if account is not None and is_repetition(known, report):
            return _record(delivery, "repeated", account)
        if report.items is None or (account is not None and is_tie(known, report)):
            id = report.stripe_subscription
            fetched = _fetch_once(draft.services, delivery.context, id, known, answers)
    if account is not None:
        for one in (report, *fetched):
            add_report(draft, account, one)
        return _record(delivery, "reported", account)
    ownerless = [] if wait(draft, report, names) else [dated(report)]
    for one in fetched:
        wait(draft, one, names)
    return _record(delivery, "ownerless" if ownerless else "waiting", None, *ownerless)


def _record(
    delivery: _Delivery, outcome: Outcome, account: str | None, *ownerless: Dated
) -> Recorded:
    """Record an event as received, with all that its draft has."""
    draft, context, event, received, found_by, problems = delivery
    fact = StripeEventReceived(
        stripe_event=event.id,
        type=event.type,
        created=event.created,
        livemode=event.livemode,
        api_version=event.api_version,
        object=event.object,
        object_kind=event.object_kind,
        found_by=found_by,
        outcome=outcome,
        account=account,
        problems=problems,
    )
    draft.add(received, Dated(fact, event.created), *ownerless)
    position = draft.append(context, received.next_event).position
    return Recorded(outcome, account, position, new=True)


def _pair(services: Services, context: RequestContext, invoice: str) -> None:
    """Look once more whose an invoice is, now that its stream keeps what it was paid by.

    Which account has it was looked up in a table, which an invoice that was recorded at the same
    time was not in. One that is recorded from now on finds what its stream keeps.
    """

    def attempt() -> None:
        draft = Draft(services)
        own_payments(draft, invoice)
        draft.append(context)

    retry_on_conflict(attempt)


# Asking Stripe


def _fetch_once(
    services: Services,
    context: RequestContext,
    id: str,
    known: StripeSubscription | None,
    answers: Answers,
) -> list[StripeReport]:
    """Ask Stripe how a subscription is; once, also when the event has to be appended again.

    The answer ranks after what was known when it was asked for, which may have become known since
    the request came in, and not after what becomes known later.
    """
    if services.stripe is None:
        return []
    if id not in answers:
        try:
            found = services.stripe.subscription(id, interactive=True)
            answers[id] = found, asked_after(context, known)
        except StripeFault:
            answers[id] = None
    answer = answers[id]
    if answer is None:
        return []
    found, asked = answer
    read = read_retrieved(services, asked, found)
    return [with_known_meanings(known, read[0])] if read is not None else []
