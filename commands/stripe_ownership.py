"""Whose a report of Stripe's is, and what has to be recorded so that it stays so.

    draft = Draft(services)
    settled = settle(draft, report, names)       # an account, or None while nobody knows
    draft.add(draft.load(ACCOUNT, settled.account), report)
    draft.append(context)                        # everything in one commit, or VersionConflict

Source: docs/stripe.md, "Whose it is".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from commands.services import Services
from ledger.book import Appended, Change, Dated
from ledger.events import Fact, RequestContext, Sealed, Stream
from ledger.loaded import Loaded
from ledger.streams import stripe_customer, stripe_object
from ledger.streams.account.decisions import ACCOUNT
from ledger.streams.account.state import Account
from ledger.streams.stripe_customer import STRIPE_CUSTOMER, StripeCustomer
from ledger.streams.stripe_event import STRIPE_EVENT, UNPROVEN
from ledger.streams.stripe_object import (
    STRIPE_OBJECT,
    By,
    Evidence,
    StripeObject,
    StripeObjectClaimed,
    StripeObjectOwned,
    StripeObjectReleased,
    StripeReportWaits,
    Waiting,
    objects_of,
)
from ledger.stripe.facts import (
    LONG_AGO,
    StripeCheckoutReported,
    StripeCustomerDeleted,
    StripeInvoiceReported,
    StripeReport,
    StripeReportsTaken,
    StripeSubscriptionGivenUp,
    StripeSubscriptionReported,
)
from ledger.stripe.subscriptions import reports_to_move

StateT = TypeVar("StateT")

CONFLICT: Final = "metadata.keyfold_account: belongs to another account already"


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


class Settled(NamedTuple):
    """Whose a report is: None while nobody knows; and what is wrong about what it says of that."""

    account: str | None
    problems: tuple[str, ...] = ()


class _Owner(NamedTuple):
    account: str
    evidence: Evidence


class Draft:
    """Facts on their way to several streams, in one commit; each stream is loaded once."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._loaded: dict[str, Loaded[Any]] = {}
        self._facts: dict[str, list[Fact | Dated]] = {}
        self.owners: dict[str, str] = {}
        self.linked: dict[str, str] = {}
        self.taken: set[tuple[str, int]] = set()
        self.noted: set[tuple[str, str]] = set()
        self.given_up: dict[str, datetime] = {}

    def load(self, stream: Stream[StateT], id: str) -> Loaded[StateT]:
        name = stream.name(id)
        if name not in self._loaded:
            self._loaded[name] = self.services.book.load(stream, id)
        return self._loaded[name]

    def account(self, id: str) -> Loaded[Account]:
        return self.load(ACCOUNT, id)

    def customer(self, id: str) -> Loaded[StripeCustomer]:
        return self.load(STRIPE_CUSTOMER, id)

    def object(self, id: str) -> Loaded[StripeObject]:
        return self.load(STRIPE_OBJECT, id)

    def owner(self, id: str) -> str | None:
        """Return whose an object is, with what was decided here."""
        return self.owners.get(id) or self.object(id).state.account

    def link_of(self, customer: str) -> str | None:
        """Return the account that a customer is linked to, with what was decided here."""
        return self.linked.get(customer) or self.customer(customer).state.account

    def add(self, loaded: Loaded[Any], *facts: Fact | Dated) -> None:
        self._loaded.setdefault(loaded.name, loaded)
        if facts:
            self._facts.setdefault(loaded.name, []).extend(facts)

    def report(
        self,
        account: str,
        report: StripeReport,
        at: datetime | None = None,
        causation: str | None = None,
    ) -> None:
        """Add a report to an account; it counts from when another account gave its object up.

        Args:
            at: when what it says became true, if that was recorded before.
        """
        since = [*filter(None, map(self.since, objects_of(report)[:1]))]
        at = max([at or occurred_at(report), *since])
        self.add(self.account(account), Dated(report, at, causation))
        if isinstance(report, StripeInvoiceReported):
            _own_payments(self, report.invoice, account)

    def since(self, id: str) -> datetime | None:
        """Return when an object was given up last, with what was decided here; None if never."""
        return self.given_up.get(id) or self.object(id).state.since

    def next_version(self, loaded: Loaded[Any]) -> int:
        return loaded.version + len(self._facts.get(loaded.name, ())) + 1

    def put_first(self, loaded: Loaded[Any]) -> None:
        """Record a stream's facts before all others, whenever they are added."""
        self._loaded[loaded.name] = loaded
        self._facts[loaded.name] = []

    def changes_accounts(self) -> bool:
        """Tell whether anything is recorded on an account, and not only whose something is."""
        return any(self._loaded[name].stream is ACCOUNT for name in self._facts)

    def loses(self, id: str) -> list[str]:
        """Return the accounts that give a subscription up."""
        return [
            self._loaded[name].id
            for name, facts in self._facts.items()
            for one in facts
            if isinstance(
                fact := one.fact if isinstance(one, Dated) else one, StripeSubscriptionGivenUp
            )
            and fact.stripe_subscription == id
        ]

    def append(self, context: RequestContext, causation: str | None = None) -> Appended:
        """Record everything, if nothing that was read for it has changed meanwhile.

        So an account gets nothing of an object that has just left it, whether or not the move, or
        this, is on record in the account's own stream.

        Args:
            causation: of what is recorded in all streams but the first.

        Raises:
            VersionConflict: a stream that this was decided on has moved.
        """
        changes = [
            Change(self._loaded[name], facts, causation if number else None, required=True)
            for number, (name, facts) in enumerate(self._facts.items())
        ]
        if not any(change.facts for change in changes):
            return Appended(self.services.book.head(), ())
        only_read = (one for name, one in self._loaded.items() if name not in self._facts)
        return self.services.book.append(
            context, *changes, *(Change(one, (), required=True) for one in only_read)
        )


def settle(draft: Draft, report: StripeReport, names: Names) -> Settled:
    """Decide whose a report is; what follows from that is added to the draft."""
    ids = _ids(report, names)
    subscription = getattr(report, "stripe_subscription", None)
    customer = report.customer
    named, evidence, problems = _named(draft, report, names)
    owner = _known_owner(draft, ids[:1] if subscription else ids, customer)
    said = _Owner(named, evidence) if named is not None else _customers_word(draft, report, owner)
    if owner is None:
        owner = said
    elif said is not None and (named is not None or subscription is not None):
        owner, problems = _held_against(draft, owner, said, ids[:1], problems)
    if owner is None:
        return Settled(None, problems)
    account, evidence = owner
    for id in ids:
        # A refund or a dispute tells nothing of whose a subscription is.
        is_told = not id.startswith("sub_") or id == subscription
        if is_told and draft.owner(id) is None:
            give(draft, id, account, evidence, customer)
    if customer is not None and named == account and _may_link(draft, report, customer, account):
        link(draft, customer, account, "stripe")
    if customer is not None and subscription is not None:
        _note_subscription(draft, customer, subscription, account)
    return Settled(account, problems)


def _customers_word(draft: Draft, report: StripeReport, owner: _Owner | None) -> _Owner | None:
    """Return whose a report is that names no account: by its customer, if that is linked.

    Who had the customer, and kept the subscription when it was taken away, is not outdone by whom
    it is linked to since.
    """
    if report.customer is None or (linked := draft.link_of(report.customer)) is None:
        return None
    if owner is not None and owner.account in draft.customer(report.customer).state.unlinked:
        return None
    return _Owner(linked, _by_customer(report))


def _by_customer(report: StripeReport) -> Evidence:
    return Evidence("customer", None if _is_creation(report) else report.created)


def _is_creation(report: StripeReport) -> bool:
    return getattr(report, "source", "").endswith("subscription.created")


def _held_against(
    draft: Draft, owner: _Owner, said: _Owner, ids: Iterable[str], problems: tuple[str, ...]
) -> tuple[_Owner, tuple[str, ...]]:
    """Return whose an object is that belongs to somebody, and of which something else is said.

    Of two accounts that are named outright the other one's claim is noted, whichever came first.
    """
    if owner.account == said.account:
        evidence = owner.evidence.joined(said.evidence)
        for id in ids if evidence != owner.evidence else ():
            claimed = draft.object(id).state.claimed
            _own(draft, id, owner.account, evidence)
            _claim(draft, id, owner.account, claimed)
        return _Owner(owner.account, evidence), problems
    if _is_stronger(said, owner):
        for id in ids:
            claimed = draft.object(id).state.claimed
            move(draft, id, *said)
            named = (owner.account,) if owner.evidence.by != "customer" else ()
            _claim(draft, id, said.account, (*claimed, *named))
        return said, problems
    if said.evidence.by == "customer":
        return owner, problems
    for id in ids:
        known = draft.object(id)
        draft.add(known, *stripe_object.claim(known.state, id, said.account))
    return owner, (*problems, CONFLICT)


def _is_stronger(said: _Owner, owner: _Owner) -> bool:
    """Tell whether a word moves an object; of two of one second one has to be chosen."""
    if owner.evidence.is_final:
        return False
    return (*said.evidence.rank, said.account) < (*owner.evidence.rank, owner.account)


def _claim(draft: Draft, id: str, account: str, claimed: Iterable[str]) -> None:
    """Note that other accounts than the one that now has it were named for an object."""
    known = draft.object(id)
    for other in dict.fromkeys(claimed):
        if other != account:
            draft.add(known, StripeObjectClaimed(object=id, account=other))


def wait(draft: Draft, report: StripeReport, names: Names) -> bool:
    """Let a report wait: with its customer, else with what it is about; false if it has neither."""
    ids = _ids(report, names)
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


def pay(draft: Draft, invoice: str, payments: tuple[str, ...], event: Loaded[Any]) -> str | None:
    """Note that an invoice was paid by these payments; return whose it is.

    Of an invoice that is not on record on an account, the invoice's stream keeps that.

    Args:
        event: the stream of the event that tells it, of which this is the first.
    """
    account = draft.owner(invoice) or _holder(draft, invoice)
    if account is None:
        waits = StripeReportWaits(stream=event.name, version=1, beside=payments)
        draft.add(draft.object(invoice), waits)
        return None
    for id in payments:
        if draft.owner(id) is None:
            give(draft, id, account, Evidence("record", None))
    return account


def own_payments(draft: Draft, invoice: str) -> None:
    """Let the payments of an invoice be whose it is by now, if that was not known before."""
    account = _holder(draft, invoice)
    if account is not None:
        _own_payments(draft, invoice, account)


def _own_payments(draft: Draft, invoice: str, account: str) -> None:
    """Let the payments be an account's that were told of before it had their invoice."""
    if draft.object(invoice).state.elsewhere and draft.owner(invoice) is None:
        give(draft, invoice, account, Evidence("record", None))


def _holder(draft: Draft, invoice: str) -> str | None:
    """Return the account that has an invoice on record, by a table, and by its own stream."""
    for account in draft.services.stripe_holders(invoice):
        if invoice in draft.account(account).state.stripe.invoices:
            return account
    return None


# Steps


def _ids(report: StripeReport, names: Names) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*objects_of(report), *names.objects)))


def _named(
    draft: Draft, report: StripeReport, names: Names
) -> tuple[str | None, Evidence, tuple[str, ...]]:
    """Return the account that an object names, as far as it is to be believed."""
    if isinstance(report, StripeCheckoutReported):
        evidence = Evidence("checkout", None)
        began = draft.owner(report.checkout) or _began(draft, report.checkout, names.claimed)
        if names.account is None and names.claimed is not None and began != names.claimed:
            return None, evidence, (UNPROVEN,)
        return names.account or began, evidence, ()
    by: By = "created" if _is_creation(report) else "metadata"
    return names.account, Evidence(by, report.created), ()


def _began(draft: Draft, checkout: str, claimed: str | None) -> str | None:
    """Return the account that a Checkout was begun for, if it has that on record itself."""
    if claimed is None:
        return None
    purchases = draft.account(claimed).state.stripe.purchases.values()
    begun = any(getattr(one.fact, "checkout", None) == checkout for one in purchases)
    return claimed if begun else None


def _known_owner(draft: Draft, ids: Iterable[str], customer: str | None) -> _Owner | None:
    for id in ids:
        known = draft.object(id).state
        if known.account is not None and known.evidence is not None:
            return _Owner(known.account, known.evidence)
        account = _on_record(draft, id, customer)
        if account is not None:
            return _Owner(account, Evidence("record", None))
    return None


def _on_record(draft: Draft, id: str, customer: str | None) -> str | None:
    """Return whose an object is by what was recorded before objects had streams of their own."""
    if draft.object(id).version:
        return None
    holders = draft.services.stripe_holders(id)
    for account in holders:
        if _holds(draft.account(account).state, id):
            # Also where its customer says whose it is: under another customer it was another's.
            for reports in give_up_elsewhere(draft, id, account, holders).values():
                take_over(draft, id, account, reports)
            return account
    return draft.customer(customer).state.subscriptions.get(id) if customer is not None else None


def _holds(account: Account, id: str) -> bool:
    side = account.stripe
    return not id.startswith("sub_") or id in side.subscriptions


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
        draft.report(account, report)
    for customer in _customers(reports):
        _note_subscription(draft, customer, id, account)


def reunite(draft: Draft, id: str) -> tuple[str | None, list[str]]:
    """Let a subscription be on record with nobody but its account, with all that was reported.

    Returns:
        Its account, if it has one, and those that had it as well.
    """
    account = draft.owner(id)
    if not draft.object(id).version:
        account = _on_record(draft, id, None)
        others = draft.loses(id)
        if account is not None and others:
            _own(draft, id, account, Evidence("record", None))
        return account, others
    strays = give_up_elsewhere(draft, id, account, draft.services.stripe_holders(id))
    for reports in strays.values():
        for report in reports:
            to = account or settle(draft, report, Names()).account
            if to is not None:
                take_over(draft, id, to, [report])
            else:
                wait(draft, report, Names())
    return draft.owner(id), list(strays)


def _may_link(draft: Draft, report: StripeReport, customer: str, account: str) -> bool:
    is_there = not isinstance(report, StripeCustomerDeleted)
    return is_there and _is_free_for(draft, customer, account)


def _is_free_for(draft: Draft, customer: str, account: str) -> bool:
    unlinked = draft.customer(customer).state.unlinked
    return draft.link_of(customer) is None and account not in unlinked


def link(draft: Draft, customer: str, account: str, by: Any, reason: Sealed | None = None) -> int:
    """Link a customer, which brings all that waits with it; return how many reports that were.

    Raises:
        CustomerLinkedElsewhere: it is another account's.
    """
    known = draft.customer(customer)
    facts = stripe_customer.link(known.state, customer, account, by)
    if not facts:
        return 0
    loaded = draft.account(account)
    draft.linked[customer] = account
    draft.add(loaded, *(replace(fact, reason=reason) for fact in facts))
    draft.add(known, *facts)
    before = len(draft.taken)
    said: dict[str, Evidence] = {}
    for one in known.state.waiting:
        evidence = _by_customer(one.report)
        for id in objects_of(one.report):
            said[id] = min(said.get(id, evidence), evidence, key=lambda word: word.rank)
    for one in known.state.waiting:
        ids = objects_of(one.report)
        owner = next(filter(None, map(draft.owner, ids)), None) or account
        _take(draft, known, [one], owner, marked=False)
        for id in ids:
            if draft.owner(id) is None:
                give(draft, id, owner, said[id], customer)
            subscription = getattr(one.report, "stripe_subscription", None)
            if id == subscription:
                _note_subscription(draft, customer, id, owner)
    return len(draft.taken) - before


def begin(draft: Draft, checkout: str, account: str) -> None:
    """Note that a Checkout was begun for an account; Stripe may have told of it before."""
    evidence = Evidence("checkout", None)
    known = draft.object(checkout)
    if known.state.account is None:
        give(draft, checkout, account, evidence)
    elif known.state.evidence is not None and evidence.beats(known.state.evidence):
        move(draft, checkout, account, evidence)
    for waits in known.state.elsewhere:
        kind, _, id = waits.stream.partition("-")
        if kind == STRIPE_CUSTOMER.kind and _is_free_for(draft, id, account):
            link(draft, id, account, "stripe")


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
    _own(draft, id, account, evidence, reason)
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


def _own(
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
    _take(draft, known, known.state.waiting, account)
    if customer is not None:
        place = draft.customer(customer)
        its = [one for one in place.state.waiting if known.id in objects_of(one.report)]
        _take(draft, place, its, account)
    for waits in known.state.elsewhere:
        kind, _, id = waits.stream.partition("-")
        if kind == STRIPE_EVENT.kind:
            yield from waits.beside
            continue
        other: Loaded[Any] = (
            draft.customer(id) if kind == STRIPE_CUSTOMER.kind else draft.object(id)
        )
        its = [one for one in other.state.waiting if one.event.version == waits.version]
        _take(draft, other, its, account)
        for one in its:
            subscription = getattr(one.report, "stripe_subscription", None)
            if kind == STRIPE_CUSTOMER.kind and subscription == known.id:
                _note_subscription(draft, id, known.id, account)
        yield from waits.beside


def _take(
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
        draft.report(account, one.report, one.event.occurred_at, causation)
    if its and marked:
        versions = tuple(one.event.version for one in its)
        draft.add(place, StripeReportsTaken(versions=versions, account=account))


def move(
    draft: Draft, id: str, account: str, evidence: Evidence, reason: Sealed | None = None
) -> None:
    """Let an object that is somebody's be another account's, with what was reported about it."""
    before = draft.owner(id)
    reports = give_up(draft, id, before, account) if before is not None else []
    _own(draft, id, account, evidence, reason)
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


def reports_of(account: Account, id: str) -> list[StripeReport]:
    """Return the reports that make a subscription, and its invoices, what they are in an account.

    None where it has nothing of the subscription on record.
    """
    side = account.stripe
    subscription = side.subscriptions.get(id)
    invoices = [one.told for one in side.invoices.values() if one.told.stripe_subscription == id]
    invoices.sort(key=lambda one: (one.created, one.invoice))
    told = [] if subscription is None else reports_to_move(subscription, side.mapped)
    return [*told, *invoices]


def _customers(reports: Iterable[StripeReport]) -> Iterable[str]:
    return dict.fromkeys(one.customer for one in reports if one.customer is not None)


def _note_subscription(draft: Draft, customer: str, id: str, account: str) -> None:
    """Note with a customer whose a subscription of it is."""
    noted = (customer, id)
    if noted in draft.noted:
        return
    draft.noted.add(noted)
    known = draft.customer(customer)
    draft.add(known, *stripe_customer.assign(known.state, id, account))


def dated(report: StripeReport) -> Dated:
    return Dated(report, occurred_at(report))


def occurred_at(report: StripeReport) -> datetime:
    """Return when what a report says became true: an end may be heard of long after."""
    if isinstance(report, StripeSubscriptionReported) and report.is_end:
        return report.ended_at or report.created
    return report.created
