"""Lift the blocks of an account that tried too many codes."""

from __future__ import annotations

from commands import validation
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import attempts
from ledger.streams.account.decisions import expect_version
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS


def clear_attempts(
    services: Services,
    context: RequestContext,
    account: str,
    reason: str,
    *,
    expected_version: int | None = None,
) -> int:
    """Let an account, and every session on it, try codes again; return the ledger's position.

    A session that is blocked by tries on other accounts, too, stays blocked there.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        VersionMismatch: something was recorded since.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.no_code(services, "/account", account),
            *validation.reason(services, reason),
        ]
    )

    def attempt() -> int:
        loaded, held = services.book.load_all((ATTEMPTS, account), (ACCOUNT, account))
        expect_version(held.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        unmoved = Change(held, (), required=expected_version is not None)
        return services.book.append(
            context, Change(loaded, attempts.lift(sealed)), unmoved
        ).position

    return retry_on_conflict(attempt)
