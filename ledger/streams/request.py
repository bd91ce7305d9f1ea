"""One request that carried an idempotency key, and what became of it.

Stream:    `request-<digest>`: an HMAC of what was asked for and the caller's key
Facts:     RedemptionAnswered, SubscriptionChangeAnswered, KeysChosen, KeysReissueAnswered,
           KeysRevokeAnswered, ChangeAnswered
Invariant: a request that is repeated is answered, not carried out, again.

Answers that count are kept: a redemption, a change of a subscription, what was done to many keys,
new codes, an amendment of a key, what is arranged with a reseller, and a refusal that was counted
as a failed try. A blocked try is not, since it was not looked at; nor is a request with fields that
do not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import IdempotencyKeyReused
from ledger.streams.key import Status

ItemT = TypeVar("ItemT")

KEYS_IN_A_FACT: Final = 1_000

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


class KeptKey(Struct, frozen=True, gc=False):
    """A key that was not revoked, since it was redeemed or revoked before."""

    id: str
    status: Status


class KeysChosen(Fact, frozen=True):
    """Which keys a request is about, as the list had them when it came first: so many in each.

    Attributes:
        fingerprint: as in `RedemptionAnswered`.
        keys: nobody had redeemed them.
        kept: to be left as they are; only where they are to be revoked.
    """

    fingerprint: str
    keys: tuple[str, ...] = ()
    kept: tuple[KeptKey, ...] = ()


class KeysRevokeAnswered(Fact, frozen=True):
    """Keys were revoked, so many in one commit: one of these in each.

    Attributes:
        fingerprint: as in `RedemptionAnswered`.
        keys: those that were revoked.
        kept: those of the chosen that somebody redeemed, or revoked, first.
        finished: the request was carried out as a whole.
    """

    fingerprint: str
    keys: tuple[str, ...] = ()
    kept: tuple[KeptKey, ...] = ()
    finished: bool = False


class KeysReissueAnswered(Fact, frozen=True):
    """New codes were given for a key, or those of a batch, so many in one commit: one in each.

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


# State


class ManyKeys(Struct, frozen=True):
    """What is on record of a request about many keys.

    Attributes:
        chosen: that it is about; None where that was not put on record.
        keys: that were revoked, or given.
        kept: that were not revoked.
        finished: it was carried out as a whole.
    """

    fingerprint: str
    chosen: tuple[str, ...] | None = None
    keys: tuple[str, ...] = ()
    kept: tuple[KeptKey, ...] = ()
    finished: bool = False


Kept = Answered | ManyKeys | ChangeAnswered


# Fold


def fold(answered: Kept | None, events: Iterable[AnyOccurrence]) -> Kept | None:
    """Return the response that was recorded for a request; None without one.

    Of one about many keys it has what was done in all of its commits.
    """
    for event in events:
        match event.fact:
            case RedemptionAnswered() | SubscriptionChangeAnswered() | ChangeAnswered() as answered:
                pass
            case KeysChosen() as fact:
                before = _many_keys(answered, fact.fingerprint)
                chosen = (*(before.chosen or ()), *fact.keys)
                answered = replace(before, chosen=chosen, kept=before.kept + fact.kept)
            case KeysRevokeAnswered() as fact:
                before = _many_keys(answered, fact.fingerprint)
                answered = replace(
                    before,
                    keys=before.keys + fact.keys,
                    kept=before.kept + fact.kept,
                    finished=fact.finished,
                )
            case KeysReissueAnswered() as fact:
                before = _many_keys(answered, fact.fingerprint)
                answered = replace(before, keys=before.keys + fact.keys, finished=fact.finished)
    return answered


def _many_keys(answered: Kept | None, fingerprint: str) -> ManyKeys:
    return answered if isinstance(answered, ManyKeys) else ManyKeys(fingerprint)


# Decisions


def repeated(answered: Kept | None, fingerprint: str) -> Answered | None:
    """Return what the request was answered before, or None when it is new.

    Raises:
        IdempotencyKeyReused: the key was used with another request.
    """
    _refuse_another(answered, fingerprint)
    assert not isinstance(answered, ManyKeys | ChangeAnswered), "of another kind"
    return answered


def repeated_change(answered: Kept | None, fingerprint: str) -> ChangeAnswered | None:
    """Return what was changed by the request before, or None when it is new.

    Raises:
        IdempotencyKeyReused: as `repeated`.
    """
    _refuse_another(answered, fingerprint)
    assert answered is None or isinstance(answered, ChangeAnswered)
    return answered


def repeated_work(answered: Kept | None, fingerprint: str) -> ManyKeys | None:
    """Return what was done of a request about many keys before, or None when it is new.

    Raises:
        IdempotencyKeyReused: as `repeated`.
    """
    _refuse_another(answered, fingerprint)
    assert answered is None or isinstance(answered, ManyKeys)
    return answered


def choose(
    answered: ManyKeys | None, fingerprint: str, keys: Sequence[str], kept: Sequence[KeptKey] = ()
) -> list[Fact]:
    """Return the facts that say which keys a request is about; none if that was said."""
    if answered is not None and answered.chosen is not None:
        return []
    return [
        *(KeysChosen(fingerprint=fingerprint, keys=part) for part in _parts(keys)),
        *(KeysChosen(fingerprint=fingerprint, kept=part) for part in _parts(kept)),
    ] or [KeysChosen(fingerprint=fingerprint)]


def finish_revoking(answered: ManyKeys, fingerprint: str, kept: Iterable[KeptKey]) -> list[Fact]:
    """Return the facts that finish a request to revoke keys; none if it is finished."""
    if answered.finished:
        return []
    known = {one.id for one in answered.kept}
    late = [one for one in kept if one.id not in known]
    return [
        *(KeysRevokeAnswered(fingerprint=fingerprint, kept=part) for part in _parts(late)),
        KeysRevokeAnswered(fingerprint=fingerprint, finished=True),
    ]


def _parts(whole: Sequence[ItemT]) -> Iterator[tuple[ItemT, ...]]:
    for start in range(0, len(whole), KEYS_IN_A_FACT):
        yield tuple(whole[start : start + KEYS_IN_A_FACT])


def _refuse_another(answered: Kept | None, fingerprint: str) -> None:
    if answered is not None and answered.fingerprint != fingerprint:
        raise IdempotencyKeyReused


REQUEST: Stream[Kept | None] = Stream(
    kind="request",
    facts={
        "request.redemption_answered@1": RedemptionAnswered,
        "request.subscription_change_answered@1": SubscriptionChangeAnswered,
        "request.keys_chosen@1": KeysChosen,
        "request.keys_reissue_answered@1": KeysReissueAnswered,
        "request.keys_revoke_answered@1": KeysRevokeAnswered,
        "request.change_answered@1": ChangeAnswered,
    },
    initial=None,
    fold=fold,
)
