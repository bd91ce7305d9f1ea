"""Give a Stripe subscription to an account by hand (`stripe assign`)."""

from __future__ import annotations

import re
from typing import NamedTuple

from commands import validation
from commands.gateways.stripe_responses import StripeRefused
from commands.record_stripe_event import record_retrieved
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_draft import Draft
from commands.stripe_transfers import give, give_up_elsewhere, move, reports_of, take_over
from ledger.events import RequestContext
from ledger.limits import STRIPE_SUBSCRIPTION_ID
from ledger.loaded import Loaded
from ledger.refusals import FieldError, StripeSubscriptionElsewhere, StripeSubscriptionNotFound
from ledger.streams.account import decisions
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_object import STRIPE_OBJECT, Evidence
from ledger.translation import gettext as _


class Assigned(NamedTuple):
    """The account just after.

    Attributes:
        moved_from: whose the subscription was.
        applied: how many reports had waited, and are the account's now.
    """

    account: Loaded[Account]
    stripe_subscription: str
    moved_from: str | None
    applied: int
    position: int


def assign_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    stripe_subscription: str,
    reason: str,
    moved_from: str | None = None,
    *,
    expected_version: int | None = None,
) -> Assigned:
    """Give a subscription to an account, for good, and return the account just after.

    Its customer is linked to nobody by it.

    One that the ledger has not heard of is asked for at Stripe. The account's already: nothing is
    recorded, unless Stripe has named other accounts for it, whose claims are settled by this, or
    others have it on record as well, which give it up.

    Args:
        moved_from: whose it is known to be; needed to take it away from there.

    Raises:
        InvalidRequest: fields that do not fit.
        VersionMismatch, StripeSubscriptionElsewhere, StripeSubscriptionNotFound: in this order.
        StripeUnavailable, StripeRefused, StripeKeyRefused: it had to be asked for.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.no_code(services, "/account", account),
            *_subscription(stripe_subscription),
            *validation.reason(services, reason),
        ]
    )
    held, known_before = services.book.load_all(
        (ACCOUNT, account), (STRIPE_OBJECT, stripe_subscription)
    )
    decisions.expect_version(held.version, expected_version)
    if not known_before.version and _ask(services, context, stripe_subscription) == account:
        expected_version = None  # it moved by what was asked here; there is nothing left to do

    def attempt() -> Assigned:
        draft = Draft(services)
        loaded = draft.account(account)
        decisions.expect_version(loaded.version, expected_version)
        draft.put_first(loaded)
        known = draft.object(stripe_subscription)
        holders = [
            one
            for one in services.stripe_holders(stripe_subscription)
            if reports_of(draft.account(one).state, stripe_subscription)
        ]
        holder = known.state.account or next(iter(holders), None)
        is_settled = known.state.account == account and not known.state.claimed
        if is_settled and not set(holders) - {account}:
            return Assigned(loaded, stripe_subscription, None, 0, loaded.head)
        if holder not in (None, account, moved_from):
            raise StripeSubscriptionElsewhere
        if not known.version and holder is None:
            raise StripeSubscriptionNotFound
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        evidence = Evidence("call", None)
        # Others may have it on record as well; what was reported there goes along.
        strays = give_up_elsewhere(draft, stripe_subscription, holder, holders)
        if holder in (None, account):
            give(draft, stripe_subscription, account, evidence, reason=sealed)
        else:
            draft.owners[stripe_subscription] = str(holder)
            move(draft, stripe_subscription, account, evidence, sealed)
        for reports in strays.values():
            take_over(draft, stripe_subscription, account, reports)
        position = draft.append(context).position
        return Assigned(
            services.book.load(ACCOUNT, account),
            stripe_subscription,
            holder if holder != account else None,
            len(draft.taken),
            position,
        )

    return retry_on_conflict(attempt)


def _ask(services: Services, context: RequestContext, id: str) -> str | None:
    """Record a subscription as Stripe has it; return the account that it names, if any."""
    if services.stripe is None:
        return None
    try:
        recorded = record_retrieved(services, context, services.stripe.subscription(id))
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
        return None
    return recorded.account if recorded else None


def _subscription(value: str) -> list[FieldError]:
    if re.fullmatch(STRIPE_SUBSCRIPTION_ID, value):
        return []
    return [FieldError("/stripe_subscription", _("must be the id of a Stripe subscription: sub_…"))]
