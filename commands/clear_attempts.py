"""Lift the blocks of an account that tried too many codes."""

from __future__ import annotations

from commands import validation
from commands.repeated import Asking
from commands.retry import Decided, retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import attempts
from ledger.streams.account.decisions import expect_version
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS, Attempts


def clear_attempts(
    services: Services,
    context: RequestContext,
    account: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Decided[Attempts]:
    """Let an account, and every session on it, try codes again; return its tries just after.

    A session that is blocked by tries on other accounts, too, stays blocked there.

    Args:
        expected_version: of the account, if the caller has seen one.
        idempotency_key: a request that is repeated with it lifts no block that came since.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        IdempotencyKeyReused: the key was used with another request.
        VersionMismatch: something was recorded since.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.no_code(services, "/account", account),
            *validation.reason(services, reason),
        ]
    )

    asking = Asking(services, "clear attempts", idempotency_key, account, reason)

    def attempt() -> Decided[Attempts]:
        loaded, held, *asked = services.book.load_all(
            (ATTEMPTS, account), (ACCOUNT, account), *asking.streams
        )
        before = asking.changed(services, asked, loaded)
        if before is not None:
            return before
        expect_version(held.version, expected_version)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        unmoved = Change(held, (), required=expected_version is not None)
        change = Change(loaded, attempts.lift(sealed))
        appended = services.book.append(context, change, unmoved, *asking.answer(asked, change))
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)
