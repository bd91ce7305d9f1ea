"""Give new codes for many keys at once: those of a batch that nobody has redeemed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from commands import validation
from commands.issue_keys import IssuedKey, code_of, masked_unless_open
from commands.many_keys import DoneKeys, work_on
from commands.reissue_key import reissued
from commands.repeated import Asked, Asking, kind_of
from commands.retry import retry_on_conflict
from commands.revoke_key import sealed_for_reseller
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import batch as batches
from ledger.streams import key
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, Key
from ledger.streams.request import KeysReissueAnswered, ManyKeys


class ReissuedKeys(NamedTuple):
    """The new keys with their codes, in the order of those that they stand in for.

    Attributes:
        replayed: the same request had been carried out before.
    """

    keys: list[IssuedKey]
    position: int
    replayed: bool = False


def reissue_keys(
    services: Services,
    context: RequestContext,
    batch: str,
    find: Callable[[], Sequence[str]],
    reason: str,
    *,
    reseller: str | None = None,
    idempotency_key: str | None = None,
) -> ReissuedKeys:
    """Let new codes take the place of those keys of a batch that can be redeemed; return them.

    A thousand are replaced in each commit. When a fault comes between, the codes of those that were
    replaced can be revealed; asking again gives them others, and those of the rest.

    Args:
        find: returns the ids of those that nobody has redeemed, as they are now.
        reseller: who asks; keys of others are passed over. None for the vendor.
        idempotency_key: a request that is repeated with it is about the keys of its first try,
            replaces nothing twice, and is answered with the same keys, as an order that is
            repeated.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        IdempotencyKeyReused: the key was used with another request.
        PartlyDone, LedgerUnavailable, LedgerBusy: as `work_on`.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    asking = Asking(services, kind_of("reissue", reseller), idempotency_key, batch, reason)
    begun = asking.chosen(services, context, lambda: (find(), ()))
    if begun.finished:
        return _again(services, context, batch, begun, reseller)
    found: dict[str, IssuedKey] = {}
    position = services.book.head()

    def work(part: Sequence[str]) -> DoneKeys:
        nonlocal position
        asked = asking.load(services)
        done = asking.worked_on(asked)
        ours = {*found, *(done.keys if done else ())}
        loaded = services.book.load_many(KEY, [key.stream_id(id) for id in part])
        changes: list[Change] = []
        given: list[IssuedKey] = []
        successors: list[str] = []
        seal = sealed_for_reseller(services, reason, context)
        for one in loaded.values():
            state = one.state
            if state is None or not state.belongs_to(reseller) or _is_done(state, ours):
                continue
            if state.replaced_by is not None:
                successors.append(state.replaced_by)
            elif state.status(context.now) == "issued":
                new = reissued(services, one, state, reseller, seal(state), context.now)
                given.append(new.key)
                changes += new.changes
        if changes:
            answer = _answer(asking, asked, *(new.id for new in given))
            position = services.book.append(context, *changes, *answer).position
        found.update((new.id, new) for new in given)
        return DoneKeys(len(given), successors)

    work_on(begun.chosen or (), work)
    if asking.streams:
        return _finished(services, context, asking, reseller)
    return ReissuedKeys(list(found.values()), position)


def _is_done(state: Key, ours: set[str]) -> bool:
    """Return whether a key was replaced by this request, or came in a key's place by it."""
    return not ours.isdisjoint((state.issued.key, state.issued.replaces, state.replaced_by))


def _finished(
    services: Services, context: RequestContext, asking: Asking, reseller: str | None
) -> ReissuedKeys:
    """Put on record that all is done, and return all that was given for the request."""

    def attempt() -> ReissuedKeys:
        asked = asking.load(services)
        done = asking.worked_on(asked)
        position = services.book.head()
        if done is None or not done.finished:
            answer = _answer(asking, asked, finished=True)
            position = services.book.append(context, *answer).position
        keys = _shown(services, context, done.keys if done else (), reseller)
        return ReissuedKeys(keys, position)

    return retry_on_conflict(attempt)


def _answer(
    asking: Asking, asked: Iterable[Asked], *keys: str, finished: bool = False
) -> list[Change]:
    fact = KeysReissueAnswered(fingerprint=asking.fingerprint, keys=keys, finished=finished)
    return [Change(one, [fact], required=True) for one in asked]


def _again(
    services: Services,
    context: RequestContext,
    batch: str,
    answered: ManyKeys,
    reseller: str | None,
) -> ReissuedKeys:
    """Return what was answered before; that the codes are shown again is recorded once an hour."""

    def attempt() -> ReissuedKeys:
        loaded = services.book.load(BATCH, batches.stream_id(batch))
        _, events = services.book.history(BATCH, loaded.id)
        facts = batches.reveal_again(events, context.actor, context.now)
        appended = services.book.append(context, Change(loaded, facts))
        keys = _shown(services, context, answered.keys, reseller)
        return ReissuedKeys(keys, appended.position, replayed=True)

    return retry_on_conflict(attempt)


def _shown(
    services: Services, context: RequestContext, ids: Sequence[str], reseller: str | None
) -> list[IssuedKey]:
    """Return new keys with their codes; of those that are open no more, they are masked."""
    loaded = services.book.load_many(KEY, [key.stream_id(id) for id in ids])
    return [
        masked_unless_open(code_of(services, state.issued), state, context, reseller)
        for id in ids
        if (state := loaded[key.stream_id(id)].state) is not None
    ]
