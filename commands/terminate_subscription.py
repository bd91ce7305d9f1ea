"""End a key-sourced subscription before its time."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.streams.account import decisions
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT


class Terminated(NamedTuple):
    account: Loaded[Account]
    position: int


def terminate_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
) -> Terminated:
    """Terminate a subscription; nobody is thrown out, but its seats are gone at once.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        VersionMismatch, SubscriptionNotFound, SubscriptionEnded: in this order.
    """
    validation.refuse_if([*validation.account(account), *validation.reason(services, reason)])

    def attempt() -> Terminated:
        loaded = services.book.load(ACCOUNT, account)
        decisions.expect_version(loaded.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        now = context.now
        facts = decisions.terminate(loaded.state, subscription, sealed, now)
        appended = services.book.append(context, Change(loaded, facts))
        return Terminated(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)
