"""End a key-sourced subscription before its time."""

from __future__ import annotations

from commands import validation
from commands.retry import Decided, decide
from commands.services import Services
from ledger.events import Fact, RequestContext
from ledger.loaded import Loaded
from ledger.streams.account import decisions
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT


def terminate_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
) -> Decided[Account]:
    """Terminate a subscription, and return the account just after.

    Its seats are gone at once, and nobody is thrown out.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        VersionMismatch, SubscriptionNotFound, SubscriptionEnded: in this order.
    """
    validation.refuse_if([*validation.account(account), *validation.reason(services, reason)])

    def decision(loaded: Loaded[Account]) -> list[Fact]:
        decisions.expect_version(loaded.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        return decisions.terminate(loaded.state, subscription, sealed, context.now)

    return decide(services, context, ACCOUNT, account, decision)
