"""Take many keys back at once: those of a batch, or of a reseller, that nobody has redeemed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from commands import validation
from commands.allowances import given_back
from commands.many_keys import DoneKeys, work_on
from commands.revoke_key import sealed_for_reseller
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams import key
from ledger.streams.key import KEY, Status


class KeptKey(NamedTuple):
    """A key that was not revoked now."""

    id: str
    status: Status


class RevokedKeys(NamedTuple):
    """What became of many keys.

    Attributes:
        kept: those that somebody has redeemed, or that were revoked before.
    """

    revoked: int
    kept: list[KeptKey]
    position: int


def revoke_keys(
    services: Services,
    context: RequestContext,
    ids: Iterable[str],
    reason: str,
    *,
    reseller: str | None = None,
    owner: str | None = None,
) -> RevokedKeys:
    """Revoke keys, and those that took their place meanwhile; return what became of them.

    A thousand are revoked in each commit. What is revoked stays so, and asking again does the rest.

    Args:
        reseller: who asks; keys of others are passed over. None for the vendor.
        owner: the reseller whose keys alone are revoked, also where one was given to another since
            the ids were found; None for any.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        PartlyDone, LedgerUnavailable, LedgerBusy: as `work_on`.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))
    kept: dict[str, KeptKey] = {}
    position = services.book.head()

    def work(part: Sequence[str]) -> DoneKeys:
        nonlocal position
        loaded = services.book.load_many(KEY, [key.stream_id(id) for id in part])
        changes: list[Change] = []
        successors: list[str] = []
        seal = sealed_for_reseller(services, reason, context)
        for one in loaded.values():
            state = one.state
            if state is None or not (state.belongs_to(reseller) and state.belongs_to(owner)):
                continue
            status = state.status(context.now)
            if state.replaced_by is not None:
                successors.append(state.replaced_by)
            elif status in ("redeemed", "revoked"):
                kept[state.issued.key] = KeptKey(state.issued.key, status)
            else:
                changes.append(Change(one, key.revoke(state, reseller, seal(state))))
        if changes:
            back = given_back(services, [change.loaded.state for change in changes])
            position = services.book.append(context, *changes, *back).position
        return DoneKeys(len(changes), successors)

    revoked = work_on(ids, work)
    return RevokedKeys(revoked, list(kept.values()), position)
