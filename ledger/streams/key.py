"""One activation key, from issue to redemption.

Stream:    `key-<digest>`, where `key_<digest>` is the key's id (`ledger.codes`)
Facts:     KeyIssued, KeyRedeemed, KeyRevoked, KeyReissued
Invariant: a key is redeemed at most once, on one account; a revoked or lapsed one never.
Source:    the guides "Activating a Cloud POS Key" and "Activating an Integration Key".

A reissue gives the holder a new code: the old key ends as revoked and names its successor, and the
successor begins where the old one stood: issued if it was issued, redeemed if it was redeemed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import (
    CodesNotDerivable,
    KeyAlreadyRedeemed,
    KeyAlreadyRevoked,
    KeyAlreadyYours,
    KeyLapsed,
    KeyNotAvailable,
    KeyNotFound,
    SubscriptionEnded,
)

Status = Literal["issued", "redeemed", "revoked", "lapsed"]


# Facts


class KeyIssued(Fact, frozen=True):
    """A key came into the world.

    Attributes:
        key: its id, `key_…`.
        masked: what may be shown of its code.
        batch, index, generation: what its code is derived from.
        derived: false for a code issued elsewhere and imported, which cannot be shown again.
        seats, months: what redeeming it gives.
        redeem_by: from this moment on it has lapsed, if nobody redeemed it; None for no limit.
        replaces: the key whose code it stands in for.
    """

    key: str
    masked: str
    batch: str
    index: int
    generation: int
    derived: bool
    product: str
    tier: str | None
    seats: int
    months: int
    reseller: str
    redeem_by: datetime | None = None
    replaces: str | None = None


class KeyRedeemed(Fact, frozen=True):
    """The key gave an account its subscription.

    Attributes:
        redeemed_at: when the key that this one replaces was redeemed; None when it was this one.
    """

    account: str
    subscription: str
    redeemed_at: datetime | None = None


class KeyRevoked(Fact, frozen=True):
    """The key was taken back before anybody redeemed it."""

    reason: Sealed | None = None


class KeyReissued(Fact, frozen=True):
    """Another code took this one's place."""

    replaced_by: str
    reason: Sealed | None = None


# State


class Key(Struct, frozen=True):
    """A key as its facts make it; times are None for what has not happened."""

    issued: KeyIssued
    issued_at: datetime
    redeemed_at: datetime | None = None
    redeemed_by: str | None = None
    subscription: str | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = None

    def status(self, at: datetime) -> Status:
        """Return what the key is at a moment; lapsed from `redeem_by` on, that moment included."""
        if self.revoked_at is not None:
            return "revoked"
        if self.redeemed_at is not None:
            return "redeemed"
        redeem_by = self.issued.redeem_by
        return "lapsed" if redeem_by is not None and at >= redeem_by else "issued"


# Fold


def fold(key: Key | None, events: Iterable[AnyOccurrence]) -> Key | None:
    """Return the key after these events; None while none was issued."""
    for event in events:
        match event.fact:
            case KeyIssued() as issued:
                key = Key(issued=issued, issued_at=event.occurred_at)
            case KeyRedeemed() as redeemed if key:
                key = replace(
                    key,
                    redeemed_at=redeemed.redeemed_at or event.occurred_at,
                    redeemed_by=redeemed.account,
                    subscription=redeemed.subscription,
                )
            case KeyRevoked() if key:
                key = replace(key, revoked_at=event.occurred_at)
            case KeyReissued(replaced_by=replaced_by) if key:
                key = replace(key, revoked_at=event.occurred_at, replaced_by=replaced_by)
    return key


# Decisions


def redeem(key: Key | None, account: str, subscription: str, now: datetime) -> list[Fact]:
    """Return the fact that redeems the key on an account.

    Raises:
        KeyNotAvailable: unknown, redeemed, revoked or lapsed; they look the same from outside, so
            that guessing tells nothing.
    """
    available(key, now)
    return [KeyRedeemed(account=account, subscription=subscription)]


def not_yours(key: Key | None, account: str) -> None:
    """Hold a key against the account that tries it.

    Whoever has redeemed a key knows it, so it is told: also when the code was replaced since, or
    what it gave has ended.

    Raises:
        KeyAlreadyYours: it was this account that redeemed it, or the key that it stands in for.
    """
    if key is not None and key.redeemed_by == account and key.subscription and key.redeemed_at:
        raise KeyAlreadyYours(key.subscription, key.redeemed_at)


def available(key: Key | None, now: datetime) -> Key:
    """Return the key when it could be redeemed now.

    Raises:
        KeyNotAvailable: as `redeem`.
    """
    if key is None or key.status(now) != "issued":
        raise KeyNotAvailable
    return key


def owned(key: Key | None, reseller: str | None) -> Key:
    """Return the key when this reseller, or the vendor (None), may see and touch it.

    Raises:
        KeyNotFound: never issued, or another reseller's, who must not learn that it exists.
    """
    if key is None or reseller not in (None, key.issued.reseller):
        raise KeyNotFound
    return key


def derivable(key: Key | None, reseller: str | None) -> Key:
    """Return the key when a code can be derived of it, or of one that was issued in its place.

    Raises:
        KeyNotFound: as `owned`.
        CodesNotDerivable: it was issued elsewhere, and none was issued in its place.
    """
    key = owned(key, reseller)
    if not key.issued.derived and key.replaced_by is None:
        raise CodesNotDerivable
    return key


def revoke(key: Key | None, reseller: str | None, reason: Sealed | None) -> list[Fact]:
    """Return the fact that takes the key back; none if it is revoked.

    Raises:
        KeyNotFound: as `owned`.
        KeyAlreadyRedeemed: an account has its subscription; that can only be terminated.
    """
    key = owned(key, reseller)
    if key.revoked_at is not None:
        return []
    if key.redeemed_at is not None:
        raise KeyAlreadyRedeemed
    return [KeyRevoked(reason=reason)]


def reissue(
    key: Key | None,
    reseller: str | None,
    *,
    successor: str,
    masked: str,
    reason: Sealed | None,
    now: datetime,
    has_ended: bool = False,
) -> tuple[list[Fact], list[Fact], KeyIssued]:
    """Return the facts of this key and of its successor, and the successor's issue once more.

    Args:
        has_ended: the subscription of a redeemed key has.

    Raises:
        KeyNotFound: as `owned`.
        KeyAlreadyRevoked: revoked, or reissued before: its successor can be reissued.
        KeyLapsed: nobody redeemed it in time; a new code would have lapsed, too.
        SubscriptionEnded: what it gave has ended, and no new code brings that back.
    """
    key = owned(key, reseller)
    status = key.status(now)
    if status == "revoked":
        raise KeyAlreadyRevoked
    if status == "lapsed":
        raise KeyLapsed
    if status == "redeemed" and has_ended:
        raise SubscriptionEnded
    issued = replace(
        key.issued,
        key=successor,
        masked=masked,
        generation=key.issued.generation + 1,
        derived=True,
        replaces=key.issued.key,
    )
    succeeding: list[Fact] = [issued]
    if key.redeemed_by is not None and key.subscription is not None:
        succeeding.append(
            KeyRedeemed(
                account=key.redeemed_by,
                subscription=key.subscription,
                redeemed_at=key.redeemed_at,
            )
        )
    return [KeyReissued(replaced_by=successor, reason=reason)], succeeding, issued


KEY: Stream[Key | None] = Stream(
    kind="key",
    facts={
        "key.issued@1": KeyIssued,
        "key.redeemed@1": KeyRedeemed,
        "key.revoked@1": KeyRevoked,
        "key.reissued@1": KeyReissued,
    },
    initial=None,
    fold=fold,
)


def stream_id(key_id: str) -> str:
    """Return the id in the stream's name for a key's id: the digest without its prefix."""
    return key_id.removeprefix("key_")
