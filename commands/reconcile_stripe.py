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
from commands.stripe_draft import Draft
from commands.stripe_ownership import reunite
from commands.stripe_transfers import add_report
from ledger.events import RequestContext
from ledger.streams.stripe_event import STRIPE_EVENT
from ledger.stripe.facts import RETRIEVED, StripeInvoiceReported, StripeSubscriptionReported
from ledger.stripe.invoices import LINES_ASKED, read_invoice
from ledger.stripe.objects import NotAnEvent, StripeEvent, read_event, read_report
from ledger.stripe.reader import Origin
from ledger.stripe.report_comparison import differing, is_news, tells_terms, understood
from ledger.stripe.subscriptions import StripeSubscription

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
    context: RequestContext,
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
    stripe = services.stripe
    if stripe is None:
        raise StripeNotConfigured
    for id in held_elsewhere:
        yield from _held_elsewhere(services, context, id, dry_run)
    yield from _events(services, context, stripe, dry_run)
    listed = set()
    for found in stripe.subscriptions():
        listed.add(found.object["id"])
        yield from _subscription(services, context, found, dry_run)
    for id in open_subscriptions:
        if id not in listed:
            yield from _unlisted(services, context, stripe, id, dry_run)
    asked = set()
    for account, invoice in cut_invoices:
        asked.add(invoice)
        yield _cut_invoice(services, context, stripe, account, invoice, dry_run)
    for account, invoice in open_invoices:
        if invoice not in asked:
            yield from _open_invoice(services, context, stripe, account, invoice, dry_run)


def _held_elsewhere(
    services: Services, context: RequestContext, id: str, dry_run: bool
) -> Iterator[Drift]:
    def attempt() -> tuple[str | None, list[str]]:
        draft = Draft(services)
        account, others = reunite(draft, id)
        if others and not dry_run:
            draft.append(context)
        return account, others

    account, others = retry_on_conflict(attempt)
    if others:
        what = ", ".join(f"is {other}'s as well" for other in others)
        yield Drift("subscription", id, account, what, None)


def _events(
    services: Services, context: RequestContext, stripe: StripeGateway, dry_run: bool
) -> Iterator[Drift]:
    # The newest come first; they are recorded in the order in which they were made, so that as
    # little as possible has to be asked for.
    missed: list[StripeEvent] = []
    events = stripe.events(context.now - EVENTS_KEPT)
    while page := list(islice(events, PAGE)):
        missed += _unheard(services, page)
    for event in reversed(missed):
        account = None
        if not dry_run:
            account = record_event(services, context, event, "reconciling").account
        yield Drift("event", event.id, account, event.type, event.created)


def _unheard(services: Services, page: Iterable[dict[str, object]]) -> Iterator[StripeEvent]:
    """Return the events that report something and are not on record."""
    events = []
    for payload in page:
        try:
            event = read_event(payload)
        except NotAnEvent:
            continue
        is_own = event.connected is None or (
            services.stripe and services.stripe.is_own(event.connected)
        )
        if is_own and read_report(event, services.catalog).report is not None:
            events.append(event)
    known = services.book.load_many(STRIPE_EVENT, [event.id for event in events])
    return (event for event in events if known[event.id].state is None)


def _subscription(
    services: Services, context: RequestContext, found: Retrieved, dry_run: bool
) -> Iterator[Drift]:
    read = read_retrieved(services, context, found)
    if read is None:
        return
    report, named = read
    account, known, others = known_of(services, report, named)
    if not is_news(known, report) and not others:
        if report.items is None:
            what = "Stripe does not list all its items"
            yield Drift("subscription", report.stripe_subscription, account, what, None)
        return
    if not dry_run:
        recorded = record_retrieved(services, context, found)
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


def _unlisted(
    services: Services, context: RequestContext, stripe: StripeGateway, id: str, dry_run: bool
) -> Iterator[Drift]:
    try:
        found = stripe.subscription(id)
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
        yield Drift("subscription", id, None, "Stripe knows nothing of it", None)
        return
    yield from _subscription(services, context, found, dry_run)


def _cut_invoice(
    services: Services,
    context: RequestContext,
    stripe: StripeGateway,
    account: str,
    id: str,
    dry_run: bool,
) -> Drift:
    report = _retrieved_invoice(context, stripe, id)
    if isinstance(report, str):
        return Drift("invoice", id, account, report, None)

    def attempt() -> Drift:
        draft = Draft(services)
        known = draft.account(account).state.stripe.invoices.get(id)
        if known is None or report.rank <= known.latest.rank:
            return Drift("invoice", id, account, TELLS_LESS, report.created)
        if not dry_run and known.latest.lacks_lines:
            add_report(draft, account, report)
            draft.append(context)
        return Drift("invoice", id, account, "lines", known.latest.created)

    return retry_on_conflict(attempt)


def _open_invoice(
    services: Services,
    context: RequestContext,
    stripe: StripeGateway,
    account: str,
    id: str,
    dry_run: bool,
) -> Iterator[Drift]:
    report = _retrieved_invoice(context, stripe, id)
    if isinstance(report, str):
        yield Drift("invoice", id, account, report, None)
        return

    def attempt() -> Drift | None:
        draft = Draft(services)
        known = draft.account(account).state.stripe.invoices.get(id)
        if known is None:
            return None  # it has gone elsewhere with its subscription
        what = [
            name.replace("_", " ")
            for name in COMPARED
            if getattr(known.latest, name) != getattr(report, name)
        ]
        if not what:
            return None
        if report.rank <= known.latest.rank:
            return Drift("invoice", id, account, TELLS_LESS, report.created)
        if not dry_run:
            add_report(draft, account, report)
            draft.append(context)
        return Drift("invoice", id, account, ", ".join(what), known.latest.created)

    found = retry_on_conflict(attempt)
    if found is not None:
        yield found


def _retrieved_invoice(
    context: RequestContext, stripe: StripeGateway, id: str
) -> StripeInvoiceReported | str:
    """Return an invoice as Stripe has it now; in words why not, if it does not tell."""
    try:
        found = stripe.invoice(id, LINES_ASKED)
    except StripeRefused as refused:
        missing = "Stripe knows nothing of it"
        return missing if refused.is_missing else "Stripe does not list all its lines"
    report = read_invoice(
        found.object, Origin(RETRIEVED, found.at, retrieved_at=context.now)
    ).report
    return report if isinstance(report, StripeInvoiceReported) else TELLS_LESS
