"""Change a subscription that a key gave: start, extend, suspend, resume, terminate or transfer it.

All are decided on the account as it is, recorded with a reason, and may be repeated with an
idempotency key; so they differ only in the decision (`ledger.streams.account.subscriptions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from commands import repeated, validation
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import Fact, RequestContext, Sealed
from ledger.limits import EXTENSION_DAYS_MAX
from ledger.loaded import Loaded
from ledger.refusals import FieldError
from ledger.streams import key
from ledger.streams.account import decisions, subscriptions
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, Key, KeyTransferred
from ledger.streams.request import Answered, SubscriptionChangeAnswered
from ledger.translation import gettext as _

Decision = Callable[[Account, str, Sealed | None, datetime], list[Fact]]


class Changed(NamedTuple):
    """A subscription after a change.

    Attributes:
        loaded: the account that has it, just after; and `at` the moment of the change.
        replayed: the same request had been carried out before.
    """

    loaded: Loaded[Account]
    subscription: str
    at: datetime
    position: int
    replayed: bool = False


class _Wanted(NamedTuple):
    """Which subscription to change, and why."""

    account: str
    subscription: str
    reason: str
    expected_version: int | None
    idempotency_key: str | None


def terminate_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """End a subscription before its time, and return it.

    Its seats are gone at once, and nobody is thrown out.

    Args:
        expected_version: of the account, if the caller has seen one.
        idempotency_key: a request that is repeated with it is answered as before.

    Raises:
        InvalidRequest, IdempotencyKeyReused, VersionMismatch, SubscriptionNotFound,
        ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded: in this order.
    """
    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    return _change(services, context, wanted, "terminate", subscriptions.terminate)


def start_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Let a scheduled subscription begin now, for its whole length, and return it.

    Raises:
        SubscriptionIsSuspended: it has begun. Others as `terminate_subscription`, before.
    """
    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    return _change(services, context, wanted, "start", subscriptions.start)


def suspend_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Let a subscription give no seats until it is resumed, and return it; its time goes on.

    Raises:
        SubscriptionNotStarted: it gives none yet. Others as `terminate_subscription`, before.
    """
    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    return _change(services, context, wanted, "suspend", subscriptions.suspend)


def resume_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Let a suspended subscription give its seats again, and return it.

    Raises:
        SubscriptionNotStarted: as `suspend_subscription`.
    """
    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    return _change(services, context, wanted, "resume", subscriptions.resume)


def extend_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    days: int | None = None,
    until: datetime | None = None,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Let a subscription last so many days longer, or until a later moment, and return it.

    Raises:
        InvalidRequest: neither or both, or an end before its own; others as
            `terminate_subscription`.
    """
    until = validation.utc("/until", until)
    errors = []
    if (days is None) == (until is None):
        errors.append(FieldError("/days", _("give either days or until")))
    elif days is not None:
        errors += validation.within("/days", days, EXTENSION_DAYS_MAX)
    validation.refuse_if(errors)
    length = until if days is None else timedelta(days=days)
    assert length is not None

    def decision(state: Account, id: str, sealed: Sealed | None, now: datetime) -> list[Fact]:
        return subscriptions.extend(state, id, length, sealed, now)

    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    asked = f"extend {days}" if until is None else f"extend until {until.isoformat()}"
    return _change(services, context, wanted, asked, decision)


def transfer_subscription(
    services: Services,
    context: RequestContext,
    account: str,
    subscription: str,
    reason: str,
    *,
    to: str,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Move what is left of a subscription to another account, and return that account.

    Both accounts and the key change in one commit. Its holders stay behind, where their seats are
    over if nothing else gives any.

    Raises:
        InvalidRequest: to the account itself, too; others as `terminate_subscription`.
    """
    wanted = _Wanted(account, subscription, reason, expected_version, idempotency_key)
    errors = [FieldError("/to", one.detail) for one in validation.account(to)]
    if to == account:
        errors.append(FieldError("/to", _("must be another account")))
    errors += validation.no_code(services, "/to", to)
    _refuse_unfit(services, wanted, errors)
    asking = repeated.Asking(
        services, "subscription", wanted.idempotency_key, "transfer", to, *wanted[:3]
    )

    def attempt() -> Changed:
        origin, target, *asked = services.book.load_all(
            (ACCOUNT, account), (ACCOUNT, to), *asking.streams
        )
        answered = asking.answered(asked)
        if answered is not None:
            return _replay(services, answered, asked[0])
        decisions.expect_version(origin.version, expected_version)
        id, now = subscription, context.now
        left = subscriptions.leave(origin.state, id, to, _sealed(services, context, wanted), now)
        moved = origin.state.subscriptions[id]
        taken = subscriptions.take_over(moved, account, now) if left else []
        if not left:
            # It was transferred there before; what has become of it since is told there.
            subscriptions.of_key(target.state, id)
        causation = origin.next_event
        appended = services.book.append(
            context,
            Change(origin, left, required=True),
            Change(target, taken, causation=causation, required=True),
            *(
                Change(one, [KeyTransferred(account=to)], causation=causation)
                for one in (_keys(services, moved.key) if left else ())
            ),
            *_answer(asking, asked, to, id, target.version + len(taken), causation),
        )
        return Changed(appended.loaded[1], id, now, appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, wanted.account))


def _change(
    services: Services,
    context: RequestContext,
    wanted: _Wanted,
    asked_for: str,
    decision: Decision,
) -> Changed:
    _refuse_unfit(services, wanted)
    asking = repeated.Asking(
        services, "subscription", wanted.idempotency_key, asked_for, *wanted[:3]
    )

    def attempt() -> Changed:
        loaded, *asked = services.book.load_all((ACCOUNT, wanted.account), *asking.streams)
        answered = asking.answered(asked)
        if answered is not None:
            return _replay(services, answered, asked[0])
        decisions.expect_version(loaded.version, wanted.expected_version)
        sealed = _sealed(services, context, wanted)
        decided = decision(loaded.state, wanted.subscription, sealed, context.now)
        answer = _answer(
            asking,
            asked,
            wanted.account,
            wanted.subscription,
            loaded.version + len(decided),
            loaded.next_event,
        )
        appended = services.book.append(context, Change(loaded, decided, required=True), *answer)
        return Changed(appended.loaded[0], wanted.subscription, context.now, appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, wanted.account))


def _refuse_unfit(services: Services, wanted: _Wanted, errors: Sequence[FieldError] = ()) -> None:
    validation.refuse_if(
        [
            *validation.account(wanted.account),
            *errors,
            *validation.reason(services, wanted.reason),
        ]
    )


def _sealed(services: Services, context: RequestContext, wanted: _Wanted) -> Sealed | None:
    return services.texts.seal(f"account-{wanted.account}", wanted.reason, context.now)


def _keys(services: Services, id: str | None) -> Iterator[Loaded[Key | None]]:
    """Yield a key, and those that it stands in for: each was typed by somebody once."""
    while id is not None:
        loaded = services.book.load(KEY, key.stream_id(id))
        if loaded.state is None or loaded.state.redeemed_at is None:
            return  # it was replaced before somebody redeemed it
        yield loaded
        id = loaded.state.issued.replaces


def _answer(
    asking: repeated.Asking,
    asked: Sequence[repeated.Asked],
    account: str,
    subscription: str,
    version: int,
    causation: str,
) -> list[Change]:
    return [
        Change(
            one,
            [
                SubscriptionChangeAnswered(
                    fingerprint=asking.fingerprint,
                    account=account,
                    subscription=subscription,
                    account_version=version,
                )
            ],
            causation=causation,
        )
        for one in asked
    ]


def _replay(services: Services, answered: Answered, asked: repeated.Asked) -> Changed:
    assert answered.subscription
    account, at, head = repeated.account_then(services, answered, asked)
    return Changed(account, answered.subscription, at, head, replayed=True)
