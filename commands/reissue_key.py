"""Give a key's holder a new code."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from commands import validation
from commands.issue_keys import IssuedKey, code_of, masked_unless_open
from commands.repeated import Asking, kind_of
from commands.retry import retry_on_conflict
from commands.revoke_key import seal_reason
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext, Sealed
from ledger.loaded import Loaded, empty_stream
from ledger.streams import batch, key
from ledger.streams.account.state import GOES_ON, Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import rename_key
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, Key, KeyIssued
from ledger.streams.request import KeysReissueAnswered


class Reissued(NamedTuple):
    """The new key, with its code, which is shown now and can be derived again.

    Attributes:
        replayed: the same request had been carried out before.
    """

    id: str
    code: str
    masked: str
    position: int
    replayed: bool = False


def reissue_key(
    services: Services,
    context: RequestContext,
    key_id: str,
    reason: str,
    *,
    reseller: str | None = None,
    idempotency_key: str | None = None,
) -> Reissued:
    """Let a new code take a key's place, and return the new key with its code.

    The old one stops working in the same commit.

    A redeemed key's subscription stays as it is, and is known by the new code from now on.

    Args:
        reseller: who asks; None for the vendor.
        idempotency_key: a request that is repeated with it is answered with the same key. Its code
            is masked when it was redeemed, revoked or given to another reseller since.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        IdempotencyKeyReused: the key was used with another request.
        KeyNotFound, KeyAlreadyRevoked, KeyLapsed, SubscriptionEnded: in this order.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    asking = Asking(services, kind_of("reissue key", reseller), idempotency_key, key_id, reason)

    def attempt() -> Reissued:
        asked = asking.load(services)
        before = asking.worked_on(asked)
        if before is not None:
            return _again(services, context, before.keys[0], reseller)
        loaded = services.book.load(KEY, key.stream_id(key_id))
        old = key.owned(loaded.state, reseller)
        account = services.book.load(ACCOUNT, old.redeemed_by) if old.redeemed_by else None
        has_ended = account is not None and _has_ended(account.state, old, context.now)
        sealed = seal_reason(services, loaded, reason, context)
        new = reissued(services, loaded, old, reseller, sealed, context.now, has_ended=has_ended)
        renamed = _renamed(account, old, new.issued, causation=loaded.next_event)
        answer = KeysReissueAnswered(
            fingerprint=asking.fingerprint, keys=(new.key.id,), finished=True
        )
        answered = [Change(one, [answer], causation=loaded.next_event) for one in asked]
        appended = services.book.append(context, *new.changes, *renamed, *answered)
        return Reissued(*new.key, appended.position)

    return retry_on_conflict(attempt)


def _again(services: Services, context: RequestContext, new: str, reseller: str | None) -> Reissued:
    """Return what was answered before; that the code is shown again is recorded once an hour."""
    loaded = services.book.load(KEY, key.stream_id(new))
    state = loaded.state
    assert state is not None
    shown = code_of(services, state.issued)
    # One that stands in for a redeemed key was redeemed when it was shown first, too.
    was_redeemed = state.redeemed_at is not None and state.redeemed_at <= state.issued_at
    if not was_redeemed or state.revoked_at is not None or not state.belongs_to(reseller):
        shown = masked_unless_open(shown, state, context, reseller)
    of_batch = services.book.load(BATCH, batch.stream_id(state.issued.batch))
    _, events = services.book.history(BATCH, of_batch.id)
    facts = batch.reveal_again(events, context.actor, context.now, new)
    appended = services.book.append(context, Change(of_batch, facts))
    return Reissued(*shown, appended.position, replayed=True)


class NewCode(NamedTuple):
    """A code that is to take another's place.

    Attributes:
        key: as it is shown now.
        issued: its issue.
        changes: of the old key and the new one.
    """

    key: IssuedKey
    issued: KeyIssued
    changes: tuple[Change, Change]


def reissued(
    services: Services,
    loaded: Loaded[Key | None],
    old: Key,
    reseller: str | None,
    reason: Sealed | None,
    now: datetime,
    *,
    has_ended: bool = False,
) -> NewCode:
    """Return the code that takes a key's place, and what is to be recorded of both.

    Raises:
        KeyNotFound, KeyAlreadyRevoked, KeyLapsed, SubscriptionEnded: as `key.reissue`.
    """
    code = services.codes.derive(
        codes.prefix_of(old.issued.masked),
        old.issued.batch,
        old.issued.index,
        old.issued.generation + 1,
    )
    facts, succeeding, issued = key.reissue(
        old,
        reseller,
        successor=services.codes.key_id(code),
        masked=codes.mask(code),
        reason=reason,
        now=now,
        has_ended=has_ended,
    )
    successor = empty_stream(KEY, key.stream_id(issued.key))
    changes = (
        Change(loaded, facts),
        Change(successor, succeeding, causation=loaded.next_event),
    )
    return NewCode(IssuedKey(issued.key, code, issued.masked), issued, changes)


def _has_ended(account: Account, old: Key, now: datetime) -> bool:
    gave = account.subscriptions.get(old.subscription or "")
    return gave is not None and gave.status(now) not in GOES_ON


def _renamed(
    account: Loaded[Account] | None, old: Key, issued: KeyIssued, causation: str
) -> list[Change]:
    """Return the change of the account whose subscription the key gave, if it gave one."""
    if account is None or old.subscription is None:
        return []
    return [Change(account, rename_key(old.subscription, issued), causation=causation)]
