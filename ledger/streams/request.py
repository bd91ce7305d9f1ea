"""One request that carried an idempotency key, and what became of it.

Stream:    `request-<digest>`: an HMAC of what was asked for and the caller's key
Facts:     RedemptionAnswered, SubscriptionChangeAnswered
Invariant: a request that is repeated is answered, not carried out, again.

Answers that count are kept: a redemption, a change of a subscription, and a refusal that was
counted as a failed try. A blocked try is not, since it was not looked at; nor is a request with
fields that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import IdempotencyKeyReused

# Facts


class RedemptionAnswered(Fact, frozen=True):
    """A redemption was carried out or refused.

    Attributes:
        fingerprint: keyed digest of the whole request, to know a repetition from another request.
        subscription: what it gave, or None.
        account_version: of the account's stream, with which the answer can be folded again.
        refusal: the refusal's code, or None.
    """

    fingerprint: str
    account: str
    subscription: str | None
    account_version: int | None
    refusal: str | None


class SubscriptionChangeAnswered(Fact, frozen=True):
    """A subscription was changed; a refusal is not kept, and is decided anew.

    Attributes:
        fingerprint, account_version: as in `RedemptionAnswered`.
        account: that has the subscription after the change.
    """

    fingerprint: str
    account: str
    subscription: str
    account_version: int


Answered = RedemptionAnswered | SubscriptionChangeAnswered


# Fold: the answer is the state


def fold(answered: Answered | None, events: Iterable[AnyOccurrence]) -> Answered | None:
    """Return the response that was recorded for a request; None without one."""
    for event in events:
        match event.fact:
            case RedemptionAnswered() | SubscriptionChangeAnswered() as answered:
                pass
    return answered


# Decisions


def repeated(answered: Answered | None, fingerprint: str) -> Answered | None:
    """Return what the request was answered before, or None when it is new.

    Raises:
        IdempotencyKeyReused: the key was used with another request.
    """
    if answered is not None and answered.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return answered


REQUEST: Stream[Answered | None] = Stream(
    kind="request",
    facts={
        "request.redemption_answered@1": RedemptionAnswered,
        "request.subscription_change_answered@1": SubscriptionChangeAnswered,
    },
    initial=None,
    fold=fold,
)
