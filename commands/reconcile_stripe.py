"""Hold the ledger against Stripe, and record what was missed.

Stripe tries for three days to deliver an event, and lists its events for thirty. So first the
events of the last thirty days that never came are recorded, as if they had; then every subscription
is asked for, and where it is not as the ledger has it, the answer is recorded as a report of its
own. At last the invoices are asked for of which lines were left out, and those that may have been
paid since they were heard of last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal, NamedTuple

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import Retrieved, StripeNotConfigured, StripeRefused
from commands.record_stripe_event import known_of, read_retrieved, record_event, record_retrieved
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_calls import Now
from commands.stripe_draft import Draft
from commands.stripe_ownership import reunite
from commands.stripe_transfers import add_report
from ledger.streams.stripe_event import STRIPE_EVENT
from ledger.stripe.facts import RETRIEVED, StripeInvoiceReported, StripeSubscriptionReported
from ledger.stripe.invoices import LINES_ASKED, read_invoice
from ledger.stripe.objects import NotAnEvent, StripeEvent, read_event, read_report
from ledger.stripe.reader import Origin
from ledger.stripe.report_comparison import differing, is_news, tells_terms, understood
from ledger.stripe.subscriptions import StripeInvoice, StripeSubscription

EVENTS_KEPT: Final = timedelta(days=30)
PAGE: Final = 100
# In which an invoice is compared: all that changes without its lines.
COMPARED: Final = ("status", "total", "amount_due", "amount_paid", "amount_remaining")
TELLS_LESS: Final = "Stripe tells less of it than before"


class Drift(NamedTuple):
    """Something that the ledger did not have as Stripe has it.

    Attributes:
        id: the event's, the subscription's or the invoice's.
        account: whose it is; None while nobody knows.
        what: the event's type, or in what the subscription differs.
        since: when Stripe made the event; or up to when the ledger's word was Stripe's.
    """

    kind: Literal["event", "subscription", "invoice"]
    id: str
    account: str | None
    what: str
    since: datetime | None


def reconcile_stripe(
    services: Services,
    now: Now,
    open_subscriptions: Iterable[str],
    *,
    cut_invoices: Iterable[tuple[str, str]] = (),
    open_invoices: Iterable[tuple[str, str]] = (),
    held_elsewhere: Iterable[str] = (),
    dry_run: bool = False,
) -> Iterator[Drift]:
    """Return everything that was missed, as it is found and recorded.

    Args:
        open_subscriptions: those that the ledger has not heard the end of; Stripe is asked for each
            that it does not list.
        cut_invoices: account and id of those of which the ledger does not have all lines; looked at
            when the events are recorded.
        open_invoices: account and id of those that may still be paid; looked at as late.
        held_elsewhere: subscriptions that others than their account have on record as well.
        dry_run: find only; nothing is recorded.

    Raises:
        StripeNotConfigured, StripeKeyRefused, StripeUnavailable: what was found before is recorded.
    """
    if services.stripe is None:
        raise StripeNotConfigured
    run = Run(services, now, services.stripe, dry_run)
    for id in held_elsewhere:
        yield from _held_elsewhere(run, id)
    yield from _events(run)
    listed = set()
    for found in services.stripe.subscriptions():
        listed.add(found.object["id"])
        yield from subscription_drift(run, found)
    for id in open_subscriptions:
        if id not in listed:
            yield from _unlisted(run, id)
    asked = set()
    for account, invoice in cut_invoices:
        asked.add(invoice)
        yield from _invoice(run, account, invoice, lacks_lines=True)
    for account, invoice in open_invoices:
        if invoice not in asked:
            yield from _invoice(run, account, invoice, lacks_lines=False)


class Run(NamedTuple):
    """One comparison with Stripe."""

    services: Services
    now: Now
    stripe: StripeGateway
    dry_run: bool


def _held_elsewhere(run: Run, id: str) -> Iterator[Drift]:
    def attempt() -> tuple[str | None, list[str]]:
        draft = Draft(run.services)
        account, others = reunite(draft, id)
        if others and not run.dry_run:
            draft.append(run.now())
        return account, others

    account, others = retry_on_conflict(attempt)
    if others:
        what = ", ".join(f"is {other}'s as well" for other in others)
        yield Drift("subscription", id, account, what, None)


def _events(run: Run) -> Iterator[Drift]:
    # The newest come first; they are recorded in the order in which they were made, so that as
    # little as possible has to be asked for.
    missed: list[StripeEvent] = []
    events = run.stripe.events(run.now().now - EVENTS_KEPT)
    while page := list(islice(events, PAGE)):
        missed += _unheard(run, page)
    for event in reversed(missed):
        account = None
        if not run.dry_run:
            account = record_event(run.services, run.now(), event, "reconciling").account
        yield Drift("event", event.id, account, event.type, event.created)


def _unheard(run: Run, page: Iterable[dict[str, object]]) -> Iterator[StripeEvent]:
    """Return the events that report something and are not on record."""
    events = []
    for payload in page:
        try:
            event = read_event(payload)
        except NotAnEvent:
            continue
        is_own = event.connected is None or run.stripe.is_own(event.connected)
        if is_own and read_report(event, run.services.catalog).report is not None:
            events.append(event)
    known = run.services.book.load_many(STRIPE_EVENT, [event.id for event in events])
    return (event for event in events if known[event.id].state is None)


def subscription_drift(run: Run, found: Retrieved) -> Iterator[Drift]:
    """Yield in what a subscription is not on record as Stripe has it, and record it so."""
    read = read_retrieved(run.services, run.now(), found)
    if read is None:
        return
    report, named = read
    account, known, others = known_of(run.services, report, named)
    if not is_news(known, report) and not others:
        if report.items is None:
            what = "Stripe does not list all its items"
            yield Drift("subscription", report.stripe_subscription, account, what, None)
        return
    if not run.dry_run:
        recorded = record_retrieved(run.services, run.now(), found)
        account = recorded.account if recorded else account
    since = known.latest.created if known else report.started_at
    yield Drift(
        "subscription", report.stripe_subscription, account, _what(known, report, others), since
    )


def _what(
    known: StripeSubscription | None, report: StripeSubscriptionReported, others: list[str]
) -> str:
    if known is None:
        return "was not on record"
    told = [name.replace("_", " ") for name in differing(known, report)]
    if known.lacks_items and report.items is not None and "items" not in told:
        told.append("items")
    if not told and tells_terms(known, report):
        told.append("amounts")
    told += [f"what {price} gives" for price in understood(known, report)]
    return ", ".join(told + [f"is {other}'s as well" for other in others])


def _unlisted(run: Run, id: str) -> Iterator[Drift]:
    try:
        found = run.stripe.subscription(id)
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
        yield Drift("subscription", id, None, "Stripe knows nothing of it", None)
        return
    yield from subscription_drift(run, found)


def _invoice(run: Run, account: str, id: str, *, lacks_lines: bool) -> Iterator[Drift]:
    """Hold an invoice against Stripe's.

    Args:
        lacks_lines: it is asked for since the ledger has not all of its lines; else since it may
            have been paid.
    """
    report = _retrieved_invoice(run, id)
    if isinstance(report, str):
        yield Drift("invoice", id, account, report, None)
        return

    def attempt() -> Drift | None:
        draft = Draft(run.services)
        known = draft.account(account).state.stripe.invoices.get(id)
        what = "lines" if lacks_lines else _what_of_invoice(known, report)
        if not what:
            return None
        if known is None or report.rank <= known.latest.rank:
            return Drift("invoice", id, account, TELLS_LESS, report.created)
        if not run.dry_run and (not lacks_lines or known.latest.lacks_lines):
            add_report(draft, account, report)
            draft.append(run.now())
        return Drift("invoice", id, account, what, known.latest.created)

    found = retry_on_conflict(attempt)
    if found is not None:
        yield found


def _what_of_invoice(known: StripeInvoice | None, report: StripeInvoiceReported) -> str:
    """Return in what an invoice differs; nothing of one that has left with its subscription."""
    if known is None:
        return ""
    differing = (one for one in COMPARED if getattr(known.latest, one) != getattr(report, one))
    return ", ".join(name.replace("_", " ") for name in differing)


def _retrieved_invoice(run: Run, id: str) -> StripeInvoiceReported | str:
    """Return an invoice as Stripe has it now; in words why not, if it does not tell."""
    try:
        found = run.stripe.invoice(id, LINES_ASKED)
    except StripeRefused as refused:
        missing = "Stripe knows nothing of it"
        return missing if refused.is_missing else "Stripe does not list all its lines"
    report = read_invoice(
        found.object, Origin(RETRIEVED, found.at, retrieved_at=run.now().now)
    ).report
    return report if isinstance(report, StripeInvoiceReported) else TELLS_LESS
