"""One activation key, from issue to redemption.

Stream:    `key-<digest>`, where `key_<digest>` is the key's id (`ledger.codes`)
Facts:     KeyIssued, KeyAmended, KeyRedeemed, KeyTransferred, KeyRevoked, KeyReissued,
           KeyImportedAgain
Invariant: a key is redeemed at most once, on one account; a revoked or lapsed one never.
Source:    the guides "Activating a Cloud POS Key" and "Activating an Integration Key".

A reissue gives the holder a new code: the old key ends as revoked and names its successor, and the
successor begins where the old one stood: issued if it was issued, redeemed if it was redeemed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger import reseller_names
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


class KeyTerms(Struct, frozen=True, gc=False):
    """What may be amended of a key that nobody has redeemed.

    Attributes: as in `KeyIssued`.
    """

    tier: str | None
    seats: int
    months: int
    redeem_by: datetime | None
    reseller: str


class KeyAmended(Fact, frozen=True):
    """Something about the key was put right before anybody redeemed it."""

    before: KeyTerms
    after: KeyTerms
    reason: Sealed | None = None


class KeyRedeemed(Fact, frozen=True):
    """The key gave an account its subscription.

    Attributes:
        redeemed_at: when the key that this one replaces was redeemed, or this one in another
            system; None when it was this one, here and now.
    """

    account: str
    subscription: str
    redeemed_at: datetime | None = None


class KeyTransferred(Fact, frozen=True):
    """What the key gave is another account's from now on.

    Attributes:
        account: that has it now.
    """

    account: str


class KeyRevoked(Fact, frozen=True):
    """The key was taken back before anybody redeemed it."""

    reason: Sealed | None = None


class KeyReissued(Fact, frozen=True):
    """Another code took this one's place."""

    replaced_by: str
    reason: Sealed | None = None


class KeyImportedAgain(Fact, frozen=True):
    """A code issued elsewhere, which had been revoked, was taken in once more; as `KeyIssued`."""

    batch: str
    index: int
    product: str
    tier: str | None
    seats: int
    months: int
    reseller: str
    redeem_by: datetime | None = None


# State


class Key(Struct, frozen=True):
    """A key as its facts make it; times are None for what has not happened.

    Attributes:
        issued: with what was amended since.
        changed_hands: it is another reseller's than it was issued to.
        redeemed_by: the account that has what it gave.
    """

    issued: KeyIssued
    issued_at: datetime
    redeemed_at: datetime | None = None
    redeemed_by: str | None = None
    subscription: str | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = None
    changed_hands: bool = False

    @property
    def terms(self) -> KeyTerms:
        """Return what may be amended of it."""
        issued = self.issued
        return KeyTerms(issued.tier, issued.seats, issued.months, issued.redeem_by, issued.reseller)

    def status(self, at: datetime) -> Status:
        """Return what the key is at a moment; lapsed from `redeem_by` on, that moment included."""
        if self.revoked_at is not None:
            return "revoked"
        if self.redeemed_at is not None:
            return "redeemed"
        redeem_by = self.issued.redeem_by
        return "lapsed" if redeem_by is not None and at >= redeem_by else "issued"

    def belongs_to(self, reseller: str | None) -> bool:
        """Return whether a reseller, in whatever spelling, may see it; the vendor (None) may."""
        return reseller is None or reseller_names.same(reseller, self.issued.reseller)


# Fold


def fold(key: Key | None, events: Iterable[AnyOccurrence]) -> Key | None:
    """Return the key after these events; None while none was issued."""
    for event in events:
        match event.fact:
            case KeyIssued() as issued:
                key = Key(issued=issued, issued_at=event.occurred_at)
            case KeyImportedAgain() as again if key:
                issued = replace(key.issued, **_fields(again))
                key = Key(issued=issued, issued_at=event.occurred_at)
            case KeyAmended(before=before, after=after) if key:
                moved = not reseller_names.same(before.reseller, after.reseller)
                key = replace(
                    key,
                    issued=replace(key.issued, **_fields(after)),
                    changed_hands=key.changed_hands or moved,
                )
            case KeyRedeemed() as redeemed if key:
                key = replace(
                    key,
                    redeemed_at=redeemed.redeemed_at or event.occurred_at,
                    redeemed_by=redeemed.account,
                    subscription=redeemed.subscription,
                )
            case KeyTransferred(account=account) if key:
                key = replace(key, redeemed_by=account)
            case KeyRevoked() if key:
                key = replace(key, revoked_at=event.occurred_at)
            case KeyReissued(replaced_by=replaced_by) if key:
                key = replace(key, revoked_at=event.occurred_at, replaced_by=replaced_by)
    return key


def _fields(terms: KeyTerms | KeyImportedAgain) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in terms.__struct_fields__}


# Decisions


def redeem(key: Key | None, account: str, subscription: str, now: datetime) -> list[Fact]:
    """Return the fact that redeems the key on an account.

    Raises:
        KeyNotAvailable: unknown, redeemed, revoked or lapsed; they look the same from outside, so
            that guessing tells nothing.
    """
    available(key, now)
    return [KeyRedeemed(account=account, subscription=subscription)]


def redeemed_elsewhere(
    key: Key | None, account: str, subscription: str, redeemed_at: datetime
) -> list[Fact]:
    """Return the fact that a key taken in was redeemed in another system; none if it is known.

    Whatever became of it here since stays.

    Raises:
        KeyNotAvailable: it was redeemed here, or on another account, or works no more.
    """
    if key is not None and key.redeemed_at == redeemed_at:
        return []
    if key is not None and (key.issued.derived or key.redeemed_at or key.revoked_at):
        raise KeyNotAvailable
    return [KeyRedeemed(account=account, subscription=subscription, redeemed_at=redeemed_at)]


def not_yours(key: Key | None, account: str) -> None:
    """Hold a key against the account that tries it.

    Whoever has redeemed a key knows it, so it is told: also when the code was replaced since, or
    what it gave has ended. After a transfer it is the account that it was transferred to.

    Raises:
        KeyAlreadyYours: this account has what it gave, or what the key that it stands in for did.
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
    if key is None or not key.belongs_to(reseller):
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


def amend(key: Key | None, terms: KeyTerms, reason: Sealed | None) -> list[Fact]:
    """Return the fact that puts a key's terms right; none if they are so already.

    A key that has lapsed can be amended, and goes on if it is to be redeemed later now.

    Raises:
        KeyNotFound: never issued.
        KeyAlreadyRedeemed: what it gave is its account's.
        KeyAlreadyRevoked: it works no more.
    """
    key = owned(key, None)
    if key.revoked_at is not None:
        raise KeyAlreadyRevoked
    if key.redeemed_at is not None:
        raise KeyAlreadyRedeemed
    if key.terms == terms:
        return []
    return [KeyAmended(before=key.terms, after=terms, reason=reason)]


def may_come_in_again(key: Key) -> bool:
    """Return whether the same code may be taken in once more.

    It was issued elsewhere and revoked, and no code of ours was given in its place.
    """
    return key.revoked_at is not None and key.replaced_by is None and not key.issued.derived


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
        "key.amended@1": KeyAmended,
        "key.redeemed@1": KeyRedeemed,
        "key.transferred@1": KeyTransferred,
        "key.revoked@1": KeyRevoked,
        "key.reissued@1": KeyReissued,
        "key.imported_again@1": KeyImportedAgain,
    },
    initial=None,
    fold=fold,
)


def stream_id(key_id: str) -> str:
    """Return the id in the stream's name for a key's id: the digest without its prefix."""
    return key_id.removeprefix("key_")
