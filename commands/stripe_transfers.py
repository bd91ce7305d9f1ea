"""Give what Stripe has to accounts, and take it away: an object, with the reports about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from commands.stripe_draft import Draft
from ledger.book import Dated
from ledger.events import Sealed
from ledger.loaded import Loaded
from ledger.streams import stripe_customer
from ledger.streams.account.state import Account
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.streams.stripe_event import STRIPE_EVENT
from ledger.streams.stripe_object import (
    Evidence,
    StripeObject,
    StripeObjectOwned,
    StripeObjectReleased,
    StripeReportWaits,
    Waiting,
    objects_of,
)
from ledger.stripe.facts import (
    LONG_AGO,
    StripeInvoiceReported,
    StripeReport,
    StripeReportsTaken,
    StripeSubscriptionGivenUp,
    StripeSubscriptionReported,
)
from ledger.stripe.subscriptions import reports_to_move


class Names(NamedTuple):
    """What an object of Stripe's says of whose it is.

    Attributes:
        account: that its metadata name.
        claimed: its `client_reference_id`, which whoever opens a Payment Link can set.
        objects: further objects that it is about: the charge and the payment of an invoice; the
            subscription that a refund or a dispute is about.
    """

    account: str | None = None
    claimed: str | None = None
    objects: tuple[str, ...] = ()


def add_report(
    draft: Draft,
    account: str,
    report: StripeReport,
    at: datetime | None = None,
    causation: str | None = None,
) -> None:
    """Add a report to an account; it counts from when another account gave its object up.

    Args:
        at: when what it says became true, if that was recorded before.
    """
    since = [*filter(None, map(draft.since, objects_of(report)[:1]))]
    at = max([at or occurred_at(report), *since])
    draft.add(draft.account(account), Dated(report, at, causation))
    if isinstance(report, StripeInvoiceReported):
        claim_payments(draft, report.invoice, account)


def wait(draft: Draft, report: StripeReport, names: Names) -> bool:
    """Let a report wait, and return true; return false if it names nothing to wait with.

    It waits with its customer, else with what it is about.
    """
    ids = ids_of(report, names)
    if report.customer is None and not ids:
        return False
    place: Loaded[Any] = (
        draft.customer(report.customer) if report.customer is not None else draft.object(ids[0])
    )
    version = draft.next_version(place)
    draft.add(place, dated(report))
    for id in ids:
        known = draft.object(id)
        if known.name != place.name or len(ids) > 1:
            beside = tuple(other for other in ids if other != id)
            draft.add(known, StripeReportWaits(stream=place.name, version=version, beside=beside))
    return True


def own_payments(draft: Draft, invoice: str) -> None:
    """Let the payments of an invoice be whose it is by now, if that was not known before."""
    account = holder_of(draft, invoice)
    if account is not None:
        claim_payments(draft, invoice, account)


def claim_payments(draft: Draft, invoice: str, account: str) -> None:
    """Let the payments be an account's that were told of before it had their invoice."""
    if draft.object(invoice).state.elsewhere and draft.owner(invoice) is None:
        give(draft, invoice, account, Evidence("record", None))


def holder_of(draft: Draft, invoice: str) -> str | None:
    """Return the account that has an invoice on record, by a table, and by its own stream."""
    for account in draft.services.stripe_holders(invoice):
        if invoice in draft.account(account).state.stripe.invoices:
            return account
    return None


def give(
    draft: Draft,
    id: str,
    account: str,
    evidence: Evidence,
    customer: str | None = None,
    reason: Sealed | None = None,
) -> None:
    """Give an object to an account, with all that waits for it, and what that is about as well."""
    known = draft.object(id)
    own(draft, id, account, evidence, reason)
    beside = list(_take_waiting(draft, known, account, customer))
    for other in dict.fromkeys(beside):
        held = draft.owner(other)
        if held is None:
            give(draft, other, account, evidence, customer)
        elif held != account:
            known_by = draft.object(other).state.evidence
            outright = evidence.by != "customer"
            if outright and known_by is not None and evidence.beats(known_by):
                move(draft, other, account, evidence)


def own(
    draft: Draft, id: str, account: str, evidence: Evidence, reason: Sealed | None = None
) -> None:
    draft.owners[id] = account
    by, said_at = evidence
    since = draft.given_up.get(id)
    fact = StripeObjectOwned(
        object=id, account=account, by=by, said_at=said_at, reason=reason, since=since
    )
    draft.add(draft.object(id), fact)


def _take_waiting(
    draft: Draft, known: Loaded[StripeObject], account: str, customer: str | None
) -> Iterable[str]:
    """Take what waits for an object to an account; return what else that is about."""
    take(draft, known, known.state.waiting, account)
    if customer is not None:
        place = draft.customer(customer)
        its = [one for one in place.state.waiting if known.id in objects_of(one.report)]
        take(draft, place, its, account)
    for waits in known.state.elsewhere:
        kind, _, id = waits.stream.partition("-")
        if kind == STRIPE_EVENT.kind:
            yield from waits.beside
            continue
        other: Loaded[Any] = (
            draft.customer(id) if kind == STRIPE_CUSTOMER.kind else draft.object(id)
        )
        its = [one for one in other.state.waiting if one.event.version == waits.version]
        take(draft, other, its, account)
        for one in its:
            subscription = getattr(one.report, "stripe_subscription", None)
            if kind == STRIPE_CUSTOMER.kind and subscription == known.id:
                note_subscription(draft, id, known.id, account)
        yield from waits.beside


def take(
    draft: Draft,
    place: Loaded[Any],
    waiting: Iterable[Waiting],
    account: str,
    *,
    marked: bool = True,
) -> None:
    """Record reports on an account that had waited in a place, each once."""
    its = [one for one in waiting if (place.name, one.event.version) not in draft.taken]
    for one in its:
        draft.taken.add((place.name, one.event.version))
        causation = f"{place.name}/{one.event.version}"
        add_report(draft, account, one.report, one.event.occurred_at, causation)
    if its and marked:
        versions = tuple(one.event.version for one in its)
        draft.add(place, StripeReportsTaken(versions=versions, account=account))


def move(
    draft: Draft, id: str, account: str, evidence: Evidence, reason: Sealed | None = None
) -> None:
    """Let an object that is somebody's be another account's, with what was reported about it."""
    before = draft.owner(id)
    reports = give_up(draft, id, before, account) if before is not None else []
    own(draft, id, account, evidence, reason)
    take_over(draft, id, account, reports)


def release(draft: Draft, id: str, account: str) -> None:
    """Let a subscription be nobody's again; what was reported about it waits."""
    known = draft.object(id)
    reports = give_up(draft, id, account, None)
    since = draft.given_up.get(id)
    draft.add(known, StripeObjectReleased(object=id, account=account, since=since))
    for report in reports:
        wait(draft, report, Names())


def give_up(draft: Draft, id: str, account: str, to: str | None) -> list[StripeReport]:
    """Let an account give a subscription up; return what is to be known of it elsewhere.

    It is given up from the moment on that the reports tell of, and they count nowhere else before
    that: so at any moment, in the past as well, one account has it, and not two.
    """
    loaded = draft.account(account)
    reports = reports_of(loaded.state, id)
    if not reports:
        return []
    of_it = [one for one in reports if isinstance(one, StripeSubscriptionReported)]
    since = max(min(map(occurred_at, of_it or reports)), draft.since(id) or LONG_AGO)
    draft.given_up[id] = since
    draft.add(loaded, Dated(StripeSubscriptionGivenUp(stripe_subscription=id, account=to), since))
    return reports


def give_up_elsewhere(
    draft: Draft, id: str, account: str | None, holders: Iterable[str]
) -> dict[str, list[StripeReport]]:
    """Let all accounts but one give a subscription up that is not theirs by the object's stream.

    It is given up from when it was theirs last, if it ever was: what was reported on them since
    should not have been.

    Returns:
        What is to be known of it elsewhere, by the account that had it.
    """
    found = {}
    for other in holders:
        loaded = draft.account(other)
        reports = reports_of(loaded.state, id)
        if other != account and reports:
            fact = StripeSubscriptionGivenUp(stripe_subscription=id, account=account)
            draft.add(loaded, Dated(fact, draft.since(id) or LONG_AGO))
            found[other] = reports
    return found


def take_over(draft: Draft, id: str, account: str, reports: Iterable[StripeReport]) -> None:
    """Record on an account what was reported about a subscription on another one."""
    reports = list(reports)
    for report in reports:
        add_report(draft, account, report)
    for customer in _customers(reports):
        note_subscription(draft, customer, id, account)


def reports_of(account: Account, id: str) -> list[StripeReport]:
    """Return the reports that make a subscription, and its invoices, what they are in an account.

    None where it has nothing of the subscription on record.
    """
    side = account.stripe
    subscription = side.subscriptions.get(id)
    invoices = [
        one.latest for one in side.invoices.values() if one.latest.stripe_subscription == id
    ]
    invoices.sort(key=lambda one: (one.created, one.invoice))
    told = [] if subscription is None else reports_to_move(subscription, side.mapped)
    return [*told, *invoices]


def _customers(reports: Iterable[StripeReport]) -> Iterable[str]:
    return dict.fromkeys(one.customer for one in reports if one.customer is not None)


def note_subscription(draft: Draft, customer: str, id: str, account: str) -> None:
    """Note with a customer whose a subscription of it is."""
    noted = (customer, id)
    if noted in draft.noted:
        return
    draft.noted.add(noted)
    known = draft.customer(customer)
    draft.add(known, *stripe_customer.assign(known.state, id, account))


def ids_of(report: StripeReport, names: Names) -> tuple[str, ...]:
    """Return the ids of all that a report is about, each once, a subscription's first."""
    return tuple(dict.fromkeys((*objects_of(report), *names.objects)))


def dated(report: StripeReport) -> Dated:
    """Return a report as a fact of the time when it was true at Stripe."""
    return Dated(report, occurred_at(report))


def occurred_at(report: StripeReport) -> datetime:
    """Return when what a report says became true: an end may be heard of long after."""
    if isinstance(report, StripeSubscriptionReported) and report.is_end:
        return report.ended_at or report.created
    return report.created
