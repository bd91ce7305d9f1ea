"""Give new codes for many keys at once: those of a batch that nobody has redeemed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from commands import validation
from commands.issue_keys import IssuedKey
from commands.many_keys import DoneKeys, work_on
from commands.reissue_key import reissued
from commands.revoke_key import sealed_for_reseller
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import key
from ledger.streams.key import KEY


class ReissuedKeys(NamedTuple):
    """The new keys with their codes, in the order of those that they stand in for."""

    keys: list[IssuedKey]
    position: int


def reissue_keys(
    services: Services,
    context: RequestContext,
    ids: Iterable[str],
    reason: str,
    *,
    reseller: str | None = None,
) -> ReissuedKeys:
    """Let new codes take the place of those keys that can be redeemed; return them.

    A thousand are replaced in each commit. When a fault comes between, the codes of those that were
    replaced can be revealed; asking again gives them others, and those of the rest.

    Args:
        reseller: who asks; keys of others are passed over. None for the vendor.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        PartlyDone, LedgerUnavailable, LedgerBusy: as `work_on`.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    found: list[IssuedKey] = []
    ours: set[str] = set()
    position = services.book.head()

    def work(part: Sequence[str]) -> DoneKeys:
        nonlocal position
        loaded = services.book.load_many(KEY, [key.stream_id(id) for id in part])
        changes: list[Change] = []
        given: list[IssuedKey] = []
        successors: list[str] = []
        seal = sealed_for_reseller(services, reason, context)
        for one in loaded.values():
            state = one.state
            if state is None or not state.belongs_to(reseller):
                continue
            if state.replaced_by is not None and state.replaced_by not in ours:
                successors.append(state.replaced_by)
            elif state.status(context.now) == "issued":
                new = reissued(services, one, state, reseller, seal(state), context.now)
                given.append(new.key)
                changes += new.changes
        if changes:
            position = services.book.append(context, *changes).position
        found.extend(given)
        ours.update(new.id for new in given)
        return DoneKeys(len(given), successors)

    work_on(ids, work)
    return ReissuedKeys(found, position)
