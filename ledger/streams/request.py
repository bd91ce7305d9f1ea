"""One request that carried an idempotency key, and what became of it.

Stream:    `request-<digest>`: an HMAC of what was asked for and the caller's key
Facts:     RedemptionAnswered, SubscriptionChangeAnswered, KeysReissueAnswered, ChangeAnswered
Invariant: a request that is repeated is answered, not carried out, again.

Answers that count are kept: a redemption, a change of a subscription, new codes for a batch, an
amendment of a key, what is arranged with a reseller, and a refusal that was counted as a failed
try. A blocked try is not, since it was not looked at; nor is a request with fields that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

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


class KeysReissueAnswered(Fact, frozen=True):
    """New codes were given for keys of a batch, so many in one commit: one of these in each.

    Attributes:
        fingerprint: as in `RedemptionAnswered`.
        keys: the new ones.
        finished: the request was carried out as a whole.
    """

    fingerprint: str
    keys: tuple[str, ...]
    finished: bool = False


class ChangeAnswered(Fact, frozen=True):
    """A stream was changed; a refusal is not kept, and is decided anew.

    Attributes:
        fingerprint: as in `RedemptionAnswered`.
        stream: its name.
        version: that it had after the change.
    """

    fingerprint: str
    stream: str
    version: int


Answered = RedemptionAnswered | SubscriptionChangeAnswered
Kept = Answered | KeysReissueAnswered | ChangeAnswered


# Fold: the answer is the state


def fold(answered: Kept | None, events: Iterable[AnyOccurrence]) -> Kept | None:
    """Return the response that was recorded for a request; None without one.

    Of a reissue it has the keys of all its commits.
    """
    for event in events:
        match event.fact:
            case RedemptionAnswered() | SubscriptionChangeAnswered() | ChangeAnswered() as answered:
                pass
            case KeysReissueAnswered() as more:
                before = answered.keys if isinstance(answered, KeysReissueAnswered) else ()
                answered = replace(more, keys=before + more.keys)
    return answered


# Decisions


def repeated(answered: Kept | None, fingerprint: str) -> Answered | None:
    """Return what the request was answered before, or None when it is new.

    Raises:
        IdempotencyKeyReused: the key was used with another request.
    """
    _refuse_another(answered, fingerprint)
    assert not isinstance(answered, KeysReissueAnswered | ChangeAnswered), "of another kind"
    return answered


def repeated_change(answered: Kept | None, fingerprint: str) -> ChangeAnswered | None:
    """Return what was changed by the request before, or None when it is new.

    Raises:
        IdempotencyKeyReused: as `repeated`.
    """
    _refuse_another(answered, fingerprint)
    assert answered is None or isinstance(answered, ChangeAnswered)
    return answered


def repeated_reissue(answered: Kept | None, fingerprint: str) -> KeysReissueAnswered | None:
    """Return what was done of a reissue before, or None when it is new.

    Raises:
        IdempotencyKeyReused: as `repeated`.
    """
    _refuse_another(answered, fingerprint)
    assert answered is None or isinstance(answered, KeysReissueAnswered)
    return answered


def _refuse_another(answered: Kept | None, fingerprint: str) -> None:
    if answered is not None and answered.fingerprint != fingerprint:
        raise IdempotencyKeyReused


REQUEST: Stream[Kept | None] = Stream(
    kind="request",
    facts={
        "request.redemption_answered@1": RedemptionAnswered,
        "request.subscription_change_answered@1": SubscriptionChangeAnswered,
        "request.keys_reissue_answered@1": KeysReissueAnswered,
        "request.change_answered@1": ChangeAnswered,
    },
    initial=None,
    fold=fold,
)
