"""One object of Stripe's and whose it is: a subscription, a Checkout session, a charge, a payment.

Stream:    `stripe_object-<sub_… | cs_… | ch_… | pi_…>`; `in_…` while only its payment was told of
Facts:     StripeObjectOwned, StripeObjectReleased, StripeObjectClaimed, StripeReportWaits; and
           what Stripe reported that names no customer, while nobody knows whose it is
Invariant: an object belongs to one account at a time, under whichever customer it is reported.
Source:    docs/stripe.md, "Whose it is".

Whoever records a report about an object reads this stream first, and appends to it when that
settles, or changes, whose the object is: of two who try at once, one loses and decides again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.stripe.facts import (
    LONG_AGO,
    REPORTS,
    StripeChargeReported,
    StripeCheckoutReported,
    StripeInvoiceReported,
    StripeReport,
    StripeReportsTaken,
    StripeSubscriptionReported,
)
from ledger.stripe.subscriptions import StripeSubscription, with_report

# How an owner is known, the strongest first. What somebody said by a call, or what was on record
# before this rule, is final. Then what was so when the object was made: its own metadata, the
# Checkout that sold it. Then whatever was said first: that it is the customer's, by a report that
# names no account, or that it is another one's, by metadata. A creation without metadata comes
# before all that was said later.
By = Literal["call", "record", "created", "checkout", "customer", "metadata"]
_RANKS: Final[dict[By, int]] = {
    "call": 0, "record": 0, "created": 1, "checkout": 2, "customer": 3, "metadata": 3,
}  # fmt: skip

# Facts


class StripeObjectOwned(Fact, frozen=True):
    """An object of Stripe's belongs to this account.

    Attributes:
        object: Stripe's id.
        by: how that is known.
        said_at: when Stripe said so, by its clock.
        reason: why, if somebody said so by a call.
        since: when another account gave it up; what was reported before is that account's past.
    """

    object: str
    account: str
    by: By
    said_at: datetime | None = None
    reason: Sealed | None = None
    since: datetime | None = None


class StripeObjectReleased(Fact, frozen=True):
    """An object belongs to nobody again: what it belonged to somebody by was taken back.

    Attributes:
        since: when its account gave it up; what was reported before is that account's past.
    """

    object: str
    account: str
    since: datetime | None = None


class StripeObjectClaimed(Fact, frozen=True):
    """Stripe named another account than the one that the object belongs to."""

    object: str
    account: str


class StripeReportWaits(Fact, frozen=True):
    """A report about this object waits in another stream to be told whose it is.

    Attributes:
        stream, version: where it waits; of an invoice, the event that told of its payments.
        beside: other objects that the report is about.
    """

    stream: str
    version: int
    beside: tuple[str, ...] = ()


# State


class Waiting(Struct, frozen=True):
    """A report that waits to be told whose it is.

    Attributes:
        event: in which it was recorded here.
    """

    report: StripeReport
    event: AnyOccurrence


class Evidence(NamedTuple):
    """How an owner is known, and when it was said; None for what was so from the beginning."""

    by: By
    said_at: datetime | None

    @property
    def rank(self) -> tuple[int, datetime]:
        """Return what words are held against each other by; the least is the strongest."""
        return _RANKS[self.by], self.said_at or LONG_AGO

    @property
    def is_final(self) -> bool:
        """Return whether no word of Stripe's changes it."""
        return _RANKS[self.by] == 0

    def beats(self, other: Evidence) -> bool:
        """Return whether an object moves to whom this names, away from whom the other one names."""
        return not other.is_final and self.rank < other.rank

    def joined(self, other: Evidence) -> Evidence:
        """Return how an owner is known that two words name.

        That the account was named outright is kept: it stays should the customer be unlinked.
        """
        strong, weak = sorted((self, other), key=lambda one: one.rank)
        if strong.by == "customer" and weak.by == "metadata":
            return Evidence("metadata", strong.said_at)
        return self if self.is_final else strong


class StripeObject(Struct, frozen=True):
    """An object, as its facts make it.

    Attributes:
        account: whose it is; None while nobody knows.
        evidence: how that is known.
        claimed: accounts that Stripe named since, and that it does not belong to.
        elsewhere: reports that wait in other streams.
        waiting: reports that wait here.
        since: when it was given up last, by another account than the one that has it now.
    """

    account: str | None
    evidence: Evidence | None
    claimed: tuple[str, ...]
    elsewhere: tuple[StripeReportWaits, ...]
    waiting: tuple[Waiting, ...]
    since: datetime | None = None


def waiting_subscription(
    waiting: Iterable[Waiting], stripe_subscription: str
) -> StripeSubscription | None:
    """Return a subscription as waiting reports make it."""
    state = None
    for one in waiting:
        report = one.report
        if (
            isinstance(report, StripeSubscriptionReported)
            and report.stripe_subscription == stripe_subscription
        ):
            state = with_report(state, report, one.event.position)
    return state


def objects_of(report: StripeReport) -> tuple[str, ...]:
    """Return the ids of the objects that a report is about: by the first it is known whose it is.

    A subscription comes first: it is what an account has.
    """
    ids: tuple[str | None, ...] = ()
    match report:
        case (
            StripeSubscriptionReported(stripe_subscription=id)
            | StripeInvoiceReported(stripe_subscription=id)
        ):
            ids = (id,)
        case StripeCheckoutReported():
            ids = (report.stripe_subscription, report.checkout)
        case StripeChargeReported():
            ids = (report.charge, report.payment_intent)
    return tuple(dict.fromkeys(filter(None, ids)))


# Fold


def fold(known: StripeObject, events: Iterable[AnyOccurrence]) -> StripeObject:
    """Return an object after some events, which come in the stream's order."""
    for event in events:
        match event.fact:
            case StripeObjectOwned() as fact:
                evidence = Evidence(fact.by, fact.said_at)
                since = fact.since or known.since
                known = StripeObject(fact.account, evidence, (), (), known.waiting, since)
            case StripeObjectReleased(since=since):
                since = since or known.since
                known = replace(known, account=None, evidence=None, claimed=(), since=since)
            case StripeObjectClaimed(account=account):
                claimed = tuple(dict.fromkeys((*known.claimed, account)))
                known = replace(known, claimed=claimed)
            case StripeReportWaits() as waits:
                known = replace(known, elsewhere=(*known.elsewhere, waits))
            case StripeReportsTaken(versions=versions):
                known = replace(known, waiting=without(known.waiting, versions))
            case report:
                held = Waiting(cast(StripeReport, report), event)
                known = replace(known, waiting=(*known.waiting, held))
    return known


def without(waiting: Iterable[Waiting], versions: tuple[int, ...]) -> tuple[Waiting, ...]:
    """Return the reports that wait still, once those of some versions have been taken."""
    return tuple(one for one in waiting if one.event.version not in versions)


# Decisions


def claim(known: StripeObject, id: str, account: str) -> list[Fact]:
    """Return the fact that an object named another account than its own; one for each account."""
    if account == known.account or account in known.claimed:
        return []
    return [StripeObjectClaimed(object=id, account=account)]


STRIPE_OBJECT: Stream[StripeObject] = Stream(
    kind="stripe_object",
    facts={
        "stripe_object.owned@1": StripeObjectOwned,
        "stripe_object.released@1": StripeObjectReleased,
        "stripe_object.claimed@1": StripeObjectClaimed,
        "stripe_object.report_waits@1": StripeReportWaits,
        "stripe.reports_taken@1": StripeReportsTaken,
        **REPORTS,
    },
    initial=StripeObject(None, None, (), (), ()),
    fold=fold,
)
