"""Record what Stripe says: an event that it sent, or an answer that it gave.

An event is recorded once, in one commit with what it reports: on the account that it belongs to,
or, while nobody knows whose it is, on its customer. Nothing is dropped: what is of no use is
recorded by its envelope, and what cannot be understood is counted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from commands.deciding import deciding
from commands.gateways.stripe import (
    Retrieved,
    StripeKeyRefused,
    StripeRefused,
    StripeUnavailable,
)
from commands.ports import Ports
from ledger.book import Change, Dated, Loaded
from ledger.events import Fact, Stamp
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account
from ledger.streams.stripe import (
    RETRIEVED,
    StripeCustomerDeleted,
    StripeInvoiceReported,
    StripeReport,
    StripeSubscriptionReported,
)
from ledger.streams.stripe_customer import STRIPE_CUSTOMER, StripeCustomer, assign, link
from ledger.streams.stripe_event import STRIPE_EVENT, Outcome, StripeEventReceived
from ledger.streams.stripe_state import (
    StripeSubscription,
    is_news,
    is_repetition,
    is_tie,
    with_known_meanings,
)
from ledger.stripe_objects import (
    LINES_CUT,
    LINES_MAX,
    Origin,
    Read,
    StripeEvent,
    read_report,
    read_subscription,
)

FoundBy = Literal["webhook", "file", "reconciling"]
CONFLICT = "metadata.keyfold_account: belongs to another account already"


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


class _Owner(NamedTuple):
    """Whose a report is, with the streams that this was read from.

    Attributes:
        on_account, on_customer: what is recorded with the report in either stream.
        conflict: the object names another account than the one that it belongs to.
    """

    account: Loaded[Account]
    customer: Loaded[StripeCustomer] | None
    on_account: list[Fact | Dated]
    on_customer: list[Fact]
    conflict: bool


def record_event(ports: Ports, stamp: Stamp, event: StripeEvent, found_by: FoundBy) -> Recorded:
    """Record an event of Stripe's, once.

    Stripe is asked only when the event contradicts another one of the same second, or does not tell
    all items of a subscription or all lines of an invoice; if it does not answer then, the event is
    recorded all the same, and `stripe reconcile` asks again for the subscription.
    """
    read = read_report(event, ports.catalog)
    answers: dict[str, Retrieved | None] = {}

    def attempt() -> Recorded:
        nonlocal read
        received = ports.book.load(STRIPE_EVENT, event.id)
        if received.state is not None:
            known = received.state
            return Recorded(known.outcome, known.account, received.head, new=False)
        read = _with_all_lines(ports, event, read)
        if read.report is None:
            outcome: Outcome = "not_understood" if read.wanted else "ignored"
            return _append(ports, stamp, event, received, found_by, outcome, read.problems)
        return _report(ports, stamp, event, received, found_by, read, read.report, answers)

    return deciding(attempt)


def record_retrieved(ports: Ports, stamp: Stamp, found: Retrieved) -> Recorded | None:
    """Record how a subscription is, as Stripe answered; None when that is what we had.

    Where nobody knows whose it is, it waits with its customer.
    """
    looked = look(ports, stamp, found)
    if looked is None:
        return None
    report, named = looked

    def attempt() -> Recorded | None:
        owner = _owner(ports, report, named)
        if owner is None and report.customer is None:
            return None
        if owner is None:
            customer = ports.book.load(STRIPE_CUSTOMER, report.customer or "")
            waiting = customer.state.told(report.stripe_subscription)
            if not is_news(waiting, report):
                return None
            said = with_known_meanings(waiting, report)
            appended = ports.book.append(stamp, Change(customer, [_dated(said)]))
            return Recorded("waiting", None, appended.position, new=True)
        account = owner.account
        known = account.state.stripe.subscriptions.get(report.stripe_subscription)
        if not owner.on_account and not is_news(known, report):
            return None
        appended = ports.book.append(
            stamp,
            Change(account, [*owner.on_account, _dated(with_known_meanings(known, report))]),
            *_on_customer(owner, None),
        )
        return Recorded("reported", account.id, appended.position, new=True)

    return deciding(attempt)


def look(
    ports: Ports, stamp: Stamp, found: Retrieved
) -> tuple[StripeSubscriptionReported, str | None] | None:
    """Answer what Stripe answered as our fact, and the account that it names."""
    origin = Origin(RETRIEVED, found.at, retrieved_at=stamp.now)
    read = read_subscription(found.object, origin, ports.catalog)
    if not isinstance(read.report, StripeSubscriptionReported):
        return None
    return read.report, read.account


def known_of(
    ports: Ports, report: StripeSubscriptionReported, named: str | None
) -> tuple[str | None, StripeSubscription | None]:
    """Answer whose a subscription is, and its state on record; None for what is unknown."""
    owner = _owner(ports, report, named)
    if owner is not None:
        reported = owner.account.state.stripe.subscriptions.get(report.stripe_subscription)
        return owner.account.id, reported
    if report.customer is None:
        return None, None
    customer = ports.book.load(STRIPE_CUSTOMER, report.customer).state
    return None, customer.told(report.stripe_subscription)


# One event


def _with_all_lines(ports: Ports, event: StripeEvent, read: Read) -> Read:
    """Return an invoice with the lines that the event leaves out, if Stripe lists them now."""
    report = read.report
    if not isinstance(report, StripeInvoiceReported) or LINES_CUT not in report.problems:
        return read
    if ports.stripe is None:
        return read
    try:
        lines = ports.stripe.invoice_lines(report.invoice, LINES_MAX)
    except (StripeUnavailable, StripeRefused, StripeKeyRefused):
        return read
    listed = {**event.data["lines"], "data": lines, "has_more": False}
    return read_report(event._replace(data={**event.data, "lines": listed}), ports.catalog)


def _report(
    ports: Ports,
    stamp: Stamp,
    event: StripeEvent,
    received: Loaded[StripeEventReceived | None],
    found_by: FoundBy,
    read: Read,
    report: StripeReport,
    answers: dict[str, Retrieved | None],
) -> Recorded:
    owner = _owner(ports, report, read.account)
    problems = (*read.problems, *([CONFLICT] if owner and owner.conflict else []))
    if owner is None:
        return _wait(ports, stamp, event, received, found_by, report, problems, answers)
    account = owner.account
    known = None
    if isinstance(report, StripeSubscriptionReported):
        known = account.state.stripe.subscriptions.get(report.stripe_subscription)
        report = with_known_meanings(known, report)
    reports: list[Fact | Dated] = [_dated(report)]
    outcome: Outcome = "reported"
    if isinstance(report, StripeSubscriptionReported):
        if is_repetition(known, report):
            reports, outcome = [], "repeated"
        elif is_tie(known, report) or report.items is None:
            reports += _looked_up(ports, stamp, report.stripe_subscription, known, answers)
    return _append(
        ports,
        stamp,
        event,
        received,
        found_by,
        outcome,
        problems,
        account.id,
        Change(account, [*owner.on_account, *reports], causation=received.next_event),
        *_on_customer(owner, received.next_event),
    )


def _wait(
    ports: Ports,
    stamp: Stamp,
    event: StripeEvent,
    received: Loaded[StripeEventReceived | None],
    found_by: FoundBy,
    report: StripeReport,
    problems: tuple[str, ...],
    answers: dict[str, Retrieved | None],
) -> Recorded:
    if report.customer is None:
        outcome: Outcome = "ownerless"
        fact = _received(event, found_by, outcome, problems, None)
        appended = ports.book.append(
            stamp, Change(received, [Dated(fact, event.created), _dated(report)])
        )
        return Recorded(outcome, None, appended.position, new=True)
    customer = ports.book.load(STRIPE_CUSTOMER, report.customer)
    reports: list[Fact | Dated] = [_dated(report)]
    if isinstance(report, StripeSubscriptionReported):
        known = customer.state.told(report.stripe_subscription)
        reports = [_dated(with_known_meanings(known, report))]
        if report.items is None:
            reports += _looked_up(ports, stamp, report.stripe_subscription, known, answers)
    waiting = Change(customer, reports, causation=received.next_event)
    return _append(ports, stamp, event, received, found_by, "waiting", problems, None, waiting)


def _append(
    ports: Ports,
    stamp: Stamp,
    event: StripeEvent,
    received: Loaded[StripeEventReceived | None],
    found_by: FoundBy,
    outcome: Outcome,
    problems: tuple[str, ...],
    account: str | None = None,
    *changes: Change,
) -> Recorded:
    fact = _received(event, found_by, outcome, problems, account)
    appended = ports.book.append(stamp, Change(received, [Dated(fact, event.created)]), *changes)
    return Recorded(outcome, account, appended.position, new=True)


def _received(
    event: StripeEvent,
    found_by: FoundBy,
    outcome: Outcome,
    problems: tuple[str, ...],
    account: str | None,
) -> StripeEventReceived:
    return StripeEventReceived(
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


# Whose it is


def _owner(ports: Ports, report: StripeReport, named: str | None) -> _Owner | None:
    """Answer whose a report is, and what has to be recorded so that it stays so."""
    subscription = getattr(report, "stripe_subscription", None)
    if report.customer is None:
        if named is None:
            return None
        return _Owner(ports.book.load(ACCOUNT, named), None, [], [], conflict=False)
    customer = ports.book.load(STRIPE_CUSTOMER, report.customer)
    id = customer.state.owner(named, subscription)
    if id is None:
        return None
    on_account: list[Fact | Dated] = []
    on_customer: list[Fact] = []
    if customer.state.account is None and not isinstance(report, StripeCustomerDeleted):
        on_customer += link(customer.state, report.customer, id, "stripe")
        on_account += [on_customer[0], *waiting_facts(customer)]
    if subscription is not None:
        known = {getattr(fact, "stripe_subscription", None) for fact in on_customer}
        if subscription not in known:
            on_customer += assign(customer.state, subscription, id)
    conflict = named is not None and named != id
    return _Owner(ports.book.load(ACCOUNT, id), customer, on_account, on_customer, conflict)


def waiting_facts(customer: Loaded[StripeCustomer]) -> list[Dated]:
    """Answer the reports that waited, as they are recorded on the account at last."""
    return [
        Dated(one.report, one.event.occurred_at, f"{customer.name}/{one.event.version}")
        for one in customer.state.waiting
    ]


def _on_customer(owner: _Owner, causation: str | None) -> list[Change]:
    if owner.customer is None or not owner.on_customer:
        return []
    return [Change(owner.customer, owner.on_customer, causation=causation)]


def _dated(report: StripeReport) -> Dated:
    return Dated(report, occurred_at(report))


def occurred_at(report: StripeReport) -> datetime:
    """Answer when what a report says became true: an end may be heard of long after."""
    if isinstance(report, StripeSubscriptionReported) and report.is_end:
        return report.ended_at or report.created
    return report.created


def _looked_up(
    ports: Ports,
    stamp: Stamp,
    id: str,
    known: StripeSubscription | None,
    answers: dict[str, Retrieved | None],
) -> list[Fact | Dated]:
    """Ask Stripe how a subscription is; once, also when the event has to be appended again."""
    if ports.stripe is None:
        return []
    if id not in answers:
        try:
            answers[id] = ports.stripe.subscription(id, haste=True)
        except (StripeUnavailable, StripeRefused, StripeKeyRefused):
            answers[id] = None
    found = answers[id]
    if found is None:
        return []
    looked = look(ports, stamp, found)
    return [_dated(with_known_meanings(known, looked[0]))] if looked is not None else []
