"""Give a holder's seat back."""

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


class Released(NamedTuple):
    account: Loaded[Account]
    position: int


def release_seat(
    services: Services,
    context: RequestContext,
    account: str,
    product: str,
    holder: str,
    reason: str | None = None,
    *,
    expected_version: int | None = None,
) -> Released:
    """Give a seat back, and return the account just after.

    The product may have left the catalog since the seat was taken.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: ids that do not fit.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        VersionMismatch, SeatNotOccupied: in this order.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.holder(holder),
            *validation.text(services, "/reason", reason),
        ]
    )
    validation.permit_product(services.catalog, context, product)

    def attempt() -> Released:
        loaded = services.book.load(ACCOUNT, account, context.reached)
        decisions.expect_version(loaded.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        facts = decisions.release(loaded.state, product, holder, sealed)
        appended = services.book.append(context, Change(loaded, facts))
        return Released(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, account))
