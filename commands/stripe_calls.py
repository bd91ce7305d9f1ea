"""Calls that change a subscription at Stripe: made once, whatever happens in between.

    fetch_subscription    read it at Stripe, and record how it is
    …                     record what is asked for; who loses the account's version reads anew
    carry_out             call under the idempotency key of what is on record; record the answer
    record_outcome        record what came of a call that was found without an answer

What a call asks for, and whether one that has no answer is made again, is its user's to say: see
`commands.change_purchased_seats` for seats that are bought, `commands.sync_billed_seats` for those
that are billed by their holders, and `ledger.stripe.pending_calls` for the rule.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal, NamedTuple

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import Retrieved, StripeRefused
from commands.record_stripe_event import add_retrieved, asked_after, record_retrieved
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_draft import Draft
from ledger.events import Fact, RequestContext
from ledger.loaded import Loaded
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT

Now = Callable[[], RequestContext]  # called for each step, since a call to Stripe takes its time


class CallOutcome(NamedTuple):
    """What came of a call.

    Attributes:
        result: `done` as Stripe answered, or `found` to have been done; `refused` by Stripe, or
            `given_up` by us: then nothing was changed.
        refused: by Stripe, and why.
        code: of ours, of why it was given up, where it is kept.
        found: the subscription afterwards, where Stripe told.
    """

    result: Literal["done", "found", "refused", "given_up"]
    refused: StripeRefused | None = None
    code: str | None = None
    found: Retrieved | None = None

    @property
    def reason(self) -> str | None:
        """Return why it was not done: Stripe's code, or ours; None if it was done."""
        return self.refused.code if self.refused else self.code


class StripeCall(NamedTuple):
    """A call that is on record.

    Attributes:
        send: makes it under its idempotency key; returns the subscription afterwards, if told.
        facts_of: what is to be recorded of an outcome; nothing where one is on record already.
    """

    account: str
    send: Callable[[], Retrieved | None]
    facts_of: Callable[[Account, CallOutcome], list[Fact]]


def carry_out(services: Services, now: Now, call: StripeCall) -> tuple[CallOutcome, int]:
    """Make a call, and record what came of it.

    Returns:
        The outcome, `done` or `refused`; and the position it is on record at.

    Raises:
        StripeUnavailable: it may have been made; nothing is recorded, and it stays under way.
        StripeKeyRefused: it was not made; nothing is recorded.
    """
    try:
        outcome = CallOutcome("done", found=call.send())
    except StripeRefused as refused:
        outcome = CallOutcome("refused", refused)
    return outcome, record_outcome(services, now, call, outcome)


def record_outcome(services: Services, now: Now, call: StripeCall, outcome: CallOutcome) -> int:
    """Record what came of a call, with the subscription as it is then, in one commit.

    Nothing where an outcome is on record: whoever carried the call on at the same time was first.

    Returns:
        The ledger's position.
    """

    def attempt() -> int:
        draft = Draft(services)
        loaded = draft.account(call.account)
        facts = call.facts_of(loaded.state, outcome)
        if not facts:
            return loaded.head
        context = now()
        draft.add(loaded, *facts)
        if outcome.found is not None:
            add_retrieved(draft, context, outcome.found)
        return draft.append(context).position

    return retry_on_conflict(attempt)


def fetch_subscription(
    services: Services,
    now: Now,
    stripe: StripeGateway,
    account: str,
    id: str,
    *,
    expand: tuple[str, ...] = (),
) -> Retrieved:
    """Ask Stripe how a subscription is, record that if it is news, and return it.

    The clock is read after the answer, which may take its time: nothing is known before.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: Stripe does not tell.
    """
    known = services.book.load(ACCOUNT, account).state.stripe.subscriptions.get(id)
    found = stripe.subscription(id, expand=expand)
    record_retrieved(services, asked_after(now(), known), found)
    return found


def refresh_subscriptions(
    services: Services, context: RequestContext, stripe: StripeGateway, account: Loaded[Account]
) -> None:
    """Ask Stripe for all subscriptions of an account's customers; the newest may be unheard of."""
    for customer in account.state.stripe.customers:
        # One that was deleted at Stripe has none.
        with contextlib.suppress(StripeRefused):
            for found in stripe.subscriptions(customer=customer):
                known = account.state.stripe.subscriptions.get(found.object["id"])
                record_retrieved(services, asked_after(context, known), found)
