"""What becomes of subscriptions that keys gave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Final

from flask import Blueprint, Response

from commands import change_subscription as change
from commands.change_subscription import Changed
from ledger.limits import ACCOUNT_ID, EXTENSION_DAYS_MAX
from ledger.refusals import (
    IdempotencyKeyReused,
    ManagedInStripe,
    SubscriptionElsewhere,
    SubscriptionEnded,
    SubscriptionIsSuspended,
    SubscriptionNotFound,
    SubscriptionNotStarted,
    VersionMismatch,
)
from projections.views.subscriptions import OneSubscription
from web.api.accounts import one_subscription
from web.api.answers import TransferredSubscription
from web.api.operations import Returns, operation
from web.api.request_fields import Identifier, Time, WholeNumber, matching, within
from web.api.requests import Reasoned, RepeatableWrite
from web.app.auth import ADMIN, SUPPORT, only
from web.app.context import request_context, services
from web.app.responses import reply

blueprint = Blueprint("subscriptions", __name__, url_prefix="/v1")

_OF_ONE: Final = "/accounts/<account>/subscriptions/<subscription>"
_REFUSALS: Final = (
    IdempotencyKeyReused,
    VersionMismatch,
    SubscriptionNotFound,
    ManagedInStripe,
    SubscriptionElsewhere,
    SubscriptionEnded,
)
_HEADERS: Final = ("Keyfold-Position", "ETag", "Idempotency-Replayed")
_SUBSCRIPTION: Final = {200: Returns(OneSubscription, "The subscription.", _HEADERS)}


class Extension(Reasoned):
    """How much longer a subscription is to last: `days` or `until`, and not both."""

    example: ClassVar = {"days": 30, "reason": "The tills could not be reached for a month"}
    together: ClassVar = {
        "oneOf": [
            {"required": ["days"], "properties": {"days": {"not": {"type": "null"}}}},
            {"required": ["until"], "properties": {"until": {"not": {"type": "null"}}}},
        ]
    }

    days = WholeNumber("So many days more.", optional=True, validate=within(1, EXTENSION_DAYS_MAX))
    until = Time("Until then; not before it ends as it is.", optional=True)


class Transfer(Reasoned):
    """Which account a subscription is to have."""

    example: ClassVar = {"to": "acme-north", "reason": "Activated on the wrong account"}

    to = Identifier("Another account.", required=True, validate=matching(ACCOUNT_ID))


@blueprint.post(f"{_OF_ONE}/start")
@operation(
    access=only(SUPPORT, ADMIN),
    headers=RepeatableWrite,
    body=Reasoned,
    responses=_SUBSCRIPTION,
    refusals=(*_REFUSALS, SubscriptionIsSuspended),
)
def start_subscription(account: str, subscription: str, **asked: Any) -> Response:
    """Let a scheduled subscription begin now, for its whole length.

    What follows it begins when it ends. One that has begun stays as it is.
    """
    return _changed(change.start_subscription, account, subscription, **asked)


@blueprint.post(f"{_OF_ONE}/extend")
@operation(
    access=only(ADMIN),
    headers=RepeatableWrite,
    body=Extension,
    responses=_SUBSCRIPTION,
    refusals=_REFUSALS,
)
def extend_subscription(
    account: str,
    subscription: str,
    days: int | None,
    until: datetime | None,
    **asked: Any,
) -> Response:
    """Let a subscription last longer.

    What follows it begins later. Send an `Idempotency-Key` with `days`: asked for twice without
    one, it is twice as many.
    """
    return _changed(
        change.extend_subscription, account, subscription, days=days, until=until, **asked
    )


@blueprint.post(f"{_OF_ONE}/suspend")
@operation(
    access=only(ADMIN),
    headers=RepeatableWrite,
    body=Reasoned,
    responses=_SUBSCRIPTION,
    refusals=(*_REFUSALS, SubscriptionNotStarted),
)
def suspend_subscription(account: str, subscription: str, **asked: Any) -> Response:
    """Let a subscription give no seats until it is resumed.

    Its time goes on: it ends when it would have ended, and what follows it waits until then.
    Nobody is thrown out, but holders without a seat are not licensed. One that is suspended stays
    as it is.
    """
    return _changed(change.suspend_subscription, account, subscription, **asked)


@blueprint.post(f"{_OF_ONE}/resume")
@operation(
    access=only(SUPPORT, ADMIN),
    headers=RepeatableWrite,
    body=Reasoned,
    responses=_SUBSCRIPTION,
    refusals=(*_REFUSALS, SubscriptionNotStarted),
)
def resume_subscription(account: str, subscription: str, **asked: Any) -> Response:
    """Let a suspended subscription give its seats again. One that gives them stays as it is."""
    return _changed(change.resume_subscription, account, subscription, **asked)


@blueprint.post(f"{_OF_ONE}/terminate")
@operation(
    access=only(ADMIN),
    headers=RepeatableWrite,
    body=Reasoned,
    responses=_SUBSCRIPTION,
    refusals=_REFUSALS,
)
def terminate_subscription(account: str, subscription: str, **asked: Any) -> Response:
    """End a subscription before its time.

    Its seats are gone at once; nobody is thrown out, but holders without a seat are not licensed.
    What follows it begins at once; if it had not begun itself, that takes its place. One that was
    terminated already stays as it is.
    """
    return _changed(change.terminate_subscription, account, subscription, **asked)


@blueprint.post(f"{_OF_ONE}/transfer")
@operation(
    access=only(SUPPORT, ADMIN),
    headers=RepeatableWrite,
    body=Transfer,
    responses={200: Returns(TransferredSubscription, "The subscription there.", _HEADERS)},
    refusals=_REFUSALS,
)
def transfer_subscription(
    account: str,
    subscription: str,
    to: str,
    reason: str,
    expected_version: int | None,
    idempotency_key: str | None,
) -> Response:
    """Move what is left of a subscription to another account, in one commit.

    Its holders stay behind, without its seats. One that is suspended stays so. What follows it
    stays behind, too, and begins at once, so transfer what follows first: what is scheduled keeps
    its date there. If it had not begun itself, what follows it takes its place.
    `ETag` is that of the other account.
    """
    moved = change.transfer_subscription(
        services(),
        request_context(),
        account,
        subscription,
        reason,
        to=to,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    shown = one_subscription(moved.loaded.state, subscription, moved.at).subscription
    return _reply(TransferredSubscription(shown, to), moved)


def _changed(
    command: Callable[..., Changed], account: str, subscription: str, reason: str, **asked: Any
) -> Response:
    changed = command(services(), request_context(), account, subscription, reason, **asked)
    return _reply(one_subscription(changed.loaded.state, subscription, changed.at), changed)


def _reply(content: object, changed: Changed) -> Response:
    return reply(
        content,
        position=changed.position,
        version=changed.loaded.version,
        replayed=changed.replayed,
    )
