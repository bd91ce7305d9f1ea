"""Take many keys back at once: those of a batch, or of a reseller, that nobody has redeemed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from commands import validation
from commands.allowances import given_back
from commands.many_keys import DoneKeys, work_on
from commands.repeated import Asking, kind_of
from commands.retry import retry_on_conflict
from commands.revoke_key import sealed_for_reseller
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import key, request
from ledger.streams.key import KEY
from ledger.streams.request import KeptKey, KeysRevokeAnswered, ManyKeys

# Those that nobody has redeemed, and those that are to be left as they are.
FoundKeys = tuple[Sequence[str], Sequence[KeptKey]]


class RevokedKeys(NamedTuple):
    """What became of many keys.

    Attributes:
        kept: those that somebody has redeemed, or that were revoked before.
        replayed: the same request had been carried out before.
    """

    revoked: int
    kept: Sequence[KeptKey]
    position: int
    replayed: bool = False


def revoke_keys(
    services: Services,
    context: RequestContext,
    whose: str,
    find: Callable[[], FoundKeys],
    reason: str,
    *,
    reseller: str | None = None,
    owner: str | None = None,
    idempotency_key: str | None = None,
) -> RevokedKeys:
    """Revoke keys, and those that took their place meanwhile; return what became of them.

    A thousand are revoked in each commit. What is revoked stays so, and asking again does the rest.

    Args:
        whose: the batch, or the reseller, that they are of.
        find: returns them, as they are now.
        reseller: who asks; keys of others are passed over. None for the vendor.
        owner: the reseller whose keys alone are revoked, also where one was given to another since
            the ids were found; None for any.
        idempotency_key: a request that is repeated with it is about the keys of its first try, and
            answered as it was; it does what that has left, and touches nothing issued since.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        IdempotencyKeyReused: the key was used with another request.
        PartlyDone, LedgerUnavailable, LedgerBusy: as `work_on`.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    asking = Asking(services, kind_of("revoke", reseller), idempotency_key, whose, reason)
    begun = asking.chosen(services, context, find)
    if begun.finished:
        return RevokedKeys(len(begun.keys), begun.kept, services.book.head(), replayed=True)
    late: dict[str, KeptKey] = {}
    position = services.book.head()

    def work(part: Sequence[str]) -> DoneKeys:
        nonlocal position
        asked = asking.load(services)
        done = asking.worked_on(asked)
        ours = set(part).intersection(done.keys if done else ())
        loaded = services.book.load_many(KEY, [key.stream_id(id) for id in part])
        changes: list[Change] = []
        successors: list[str] = []
        seal = sealed_for_reseller(services, reason, context)
        for one in loaded.values():
            state = one.state
            if state is None or state.issued.key in ours:
                continue
            if not (state.belongs_to(reseller) and state.belongs_to(owner)):
                continue
            status = state.status(context.now)
            if state.replaced_by is not None:
                successors.append(state.replaced_by)
            elif status in ("redeemed", "revoked"):
                late[state.issued.key] = KeptKey(state.issued.key, status)
            else:
                changes.append(Change(one, key.revoke(state, reseller, seal(state))))
        if changes:
            states = [change.loaded.state for change in changes]
            ids = tuple(state.issued.key for state in states)
            fact = KeysRevokeAnswered(fingerprint=asking.fingerprint, keys=ids)
            answer = [Change(one, [fact], required=True) for one in asked]
            back = given_back(services, states)
            position = services.book.append(context, *changes, *back, *answer).position
        return DoneKeys(len(changes), successors)

    revoked = work_on(begun.chosen or (), work)
    if asking.streams:
        return _finished(services, context, asking, list(late.values()))
    return RevokedKeys(revoked, [*begun.kept, *late.values()], position)


def _finished(
    services: Services, context: RequestContext, asking: Asking, late: Sequence[KeptKey]
) -> RevokedKeys:
    """Put on record that all is done, and return what became of all the keys."""

    def attempt() -> RevokedKeys:
        asked = asking.load(services)
        done = asking.worked_on(asked)
        assert done is not None
        facts = request.finish_revoking(done, asking.fingerprint, late)
        appended = services.book.append(context, *(Change(one, facts) for one in asked))
        state = appended.loaded[0].state
        assert isinstance(state, ManyKeys)
        return RevokedKeys(len(state.keys), state.kept, appended.position)

    return retry_on_conflict(attempt)
