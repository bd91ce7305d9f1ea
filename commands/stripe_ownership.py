"""Whose a report of Stripe's is, and what has to be recorded so that it stays so.

    draft = Draft(services)
    settled = settle(draft, report, names)       # an account, or None while nobody knows
    add_report(draft, settled.account, report)
    draft.append(context)                        # everything in one commit, or VersionConflict

Source: docs/stripe.md, "Whose it is".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from commands.stripe_draft import Draft
from commands.stripe_transfers import (
    Names,
    give,
    give_up_elsewhere,
    holder_of,
    ids_of,
    move,
    note_subscription,
    own,
    take,
    take_over,
    wait,
)
from ledger.events import Sealed
from ledger.loaded import Loaded
from ledger.streams import stripe_customer, stripe_object
from ledger.streams.account.state import Account
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.streams.stripe_event import UNPROVEN
from ledger.streams.stripe_object import (
    By,
    Evidence,
    StripeObjectClaimed,
    StripeReportWaits,
    objects_of,
)
from ledger.stripe.facts import (
    StripeCheckoutReported,
    StripeCustomerDeleted,
    StripeReport,
)

CONFLICT: Final = "metadata.keyfold_account: belongs to another account already"


class Settled(NamedTuple):
    """Whose a report is: None while nobody knows; and what is wrong about what it says of that."""

    account: str | None
    problems: tuple[str, ...] = ()


class _Owner(NamedTuple):
    account: str
    evidence: Evidence


def settle(draft: Draft, report: StripeReport, names: Names) -> Settled:
    """Decide and return whose a report is; what follows from that is added to the draft."""
    ids = ids_of(report, names)
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
        note_subscription(draft, customer, subscription, account)
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
            own(draft, id, owner.account, evidence)
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
    """Return whether a word moves an object; of two of one second one has to be chosen."""
    if owner.evidence.is_final:
        return False
    return (*said.evidence.rank, said.account) < (*owner.evidence.rank, owner.account)


def _claim(draft: Draft, id: str, account: str, claimed: Iterable[str]) -> None:
    """Note that other accounts than the one that now has it were named for an object."""
    known = draft.object(id)
    for other in dict.fromkeys(claimed):
        if other != account:
            draft.add(known, StripeObjectClaimed(object=id, account=other))


def pay(draft: Draft, invoice: str, payments: tuple[str, ...], event: Loaded[Any]) -> str | None:
    """Note that an invoice was paid by these payments; return whose it is.

    Of an invoice that is not on record on an account, the invoice's stream keeps that.

    Args:
        event: the stream of the event that tells it, of which this is the first.
    """
    account = draft.owner(invoice) or holder_of(draft, invoice)
    if account is None:
        waits = StripeReportWaits(stream=event.name, version=1, beside=payments)
        draft.add(draft.object(invoice), waits)
        return None
    for id in payments:
        if draft.owner(id) is None:
            give(draft, id, account, Evidence("record", None))
    return account


# Steps


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
            own(draft, id, account, Evidence("record", None))
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
        take(draft, known, [one], owner, marked=False)
        for id in ids:
            if draft.owner(id) is None:
                give(draft, id, owner, said[id], customer)
            subscription = getattr(one.report, "stripe_subscription", None)
            if id == subscription:
                note_subscription(draft, customer, id, owner)
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
