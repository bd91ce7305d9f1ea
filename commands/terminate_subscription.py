"""End a key-sourced subscription before its time."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.retry import deciding
from commands.services import Ports
from ledger.book import Change
from ledger.events import Stamp
from ledger.loaded import Loaded
from ledger.streams.account import decisions as account_stream
from ledger.streams.account.decisions import ACCOUNT
from ledger.streams.account.state import Account


class Terminated(NamedTuple):
    account: Loaded[Account]
    position: int


def terminate_subscription(
    ports: Ports,
    stamp: Stamp,
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
    validation.refuse_if([*validation.account(account), *validation.reason(ports, reason)])

    def attempt() -> Terminated:
        loaded = ports.book.load(ACCOUNT, account)
        account_stream.expect_version(loaded.version, expected_version)
        sealed = ports.texts.seal(f"account-{account}", reason, stamp.now)
        now = stamp.now
        facts = account_stream.terminate(loaded.state, subscription, sealed, now)
        appended = ports.book.append(stamp, Change(loaded, facts))
        return Terminated(appended.loaded[0], appended.position)

    return deciding(attempt)
