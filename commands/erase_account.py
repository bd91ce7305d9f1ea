"""Make an account's free text unreadable, for ever.

The key that its labels and reasons are sealed under is destroyed. The events stay as they are, and
with them every proof; what was sealed is noise from then on, here and in every export.

What was erased, when and by whom is an event. The key is destroyed between reading the account and
recording that: had a text been sealed before the one and recorded after the other, the record would
not go in, and all is done again. So what was recorded before an erasure cannot be read, and what
comes after it can. A crash between the two leaves no text and no record; the same command again
makes the record.

The reason is sealed as well, under a key of its own (`erasure-<account>`): under the account's it
would be lost with the rest, and in the open it might be what somebody asked to have erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from commands import validation
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger.book import Change
from ledger.events import Fact, RequestContext, Sealed, Stream
from ledger.loaded import Loaded
from ledger.streams import batch, key
from ledger.streams.account import decisions
from ledger.streams.account.facts import (
    SubscriptionActivated,
    SubscriptionImported,
    SubscriptionKeyReissued,
    SubscriptionScheduled,
    SubscriptionTakenOver,
)
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, KeyIssued
from ledger.streams.portal_access import PORTAL_ACCESS
from ledger.streams.stripe_object import STRIPE_OBJECT


class UnknownAccount(Exception):
    """Nothing is recorded of this account."""


class Erased(NamedTuple):
    """An account without texts.

    Attributes:
        texts: how many were readable until now; 0 when they had been erased before.
        erased_at: when this, or the erasure before it, was recorded.
        position: of the event of this erasure; of the ledger's head when there was nothing to do.
    """

    texts: int
    erased_at: datetime
    position: int


def erase_account(services: Services, context: RequestContext, account: str, reason: str) -> Erased:
    """Erase an account's texts, and return how many were readable until now.

    Erased already, and no text since: nothing is recorded.

    Raises:
        InvalidRequest: no reason, or fields that do not fit.
        UnknownAccount: nothing is recorded of it, so that its id may be a mistake.
    """
    validation.refuse_if([*validation.account(account), *validation.reason(services, reason)])
    owner = ACCOUNT.name(account)

    had_key = False
    seen = services.book.load(ACCOUNT, account).version
    facts = list(_facts(services, account))
    if not facts:
        raise UnknownAccount
    readable = _readable(services, owner, facts)

    def attempt() -> Erased:
        nonlocal had_key, seen
        loaded: Loaded[Account] = services.book.load(ACCOUNT, account)
        if loaded.version > seen:
            # Only what came since: on a busy account all of it takes longer than until the next.
            since = services.book.facts_since(ACCOUNT, account, seen)
            readable.update(_readable(services, owner, since))
            seen = loaded.version
        sealed = services.texts.seal(f"erasure-{account}", reason, context.now)
        # Of texts that were sealed before a crash came between the two, their number in the
        # account's own stream is still known.
        texts = max(len(readable), loaded.state.texts)
        had_key = services.texts.destroy(owner) or had_key
        erased = decisions.erase(loaded.state, owner, sealed, texts, had_key=had_key)
        appended = services.book.append(context, Change(loaded, erased))
        erased_at = appended.loaded[0].state.erased_at
        assert erased_at is not None
        return Erased(texts, erased_at, appended.position)

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, account))


def _readable(services: Services, owner: str, facts: Iterable[Fact]) -> set[str]:
    """Return those of an owner's texts that can be read now, as they are sealed."""
    values = (getattr(fact, name) for fact in facts for name in fact.__struct_fields__)
    sealed = [one for one in values if isinstance(one, Sealed) and one.owner == owner]
    texts = services.texts.open_all(sealed)
    return {one.box for one, text in zip(sealed, texts, strict=True) if text is not None}


def _facts(services: Services, account: str) -> Iterator[Fact]:
    """Return the facts of every stream in which a text of the account may be: its own ones, and
    those of the keys, their batches, and the Stripe subscriptions that it has or had.
    """
    keys: set[str] = set()
    objects: set[str] = set()
    batches: set[str] = set()
    for event in services.book.history(ACCOUNT, account)[1]:
        yield event.fact
        match event.fact:
            case (
                SubscriptionActivated(key=id)
                | SubscriptionImported(key=id)
                | SubscriptionScheduled(key=id)
                | SubscriptionTakenOver(key=id)
                | SubscriptionKeyReissued(key=id)
            ):
                keys.add(id)
        objects.add(getattr(event.fact, "stripe_subscription", None) or "")
    others: list[tuple[Stream[Any], list[str]]] = [
        (ATTEMPTS, [account]),
        (PORTAL_ACCESS, [account]),
        (KEY, [key.stream_id(id) for id in sorted(keys)]),
        (STRIPE_OBJECT, sorted(objects - {""})),
    ]
    for stream, ids in others:
        for id in ids:
            for event in services.book.history(stream, id)[1]:
                yield event.fact
                if isinstance(event.fact, KeyIssued):
                    batches.add(event.fact.batch)
    for id in sorted(batches):
        # Why a code was shown again is told in the batch.
        yield from (event.fact for event in services.book.history(BATCH, batch.stream_id(id))[1])
