"""What is done to all keys of a batch, or of a reseller: found in the list, decided one by one."""

from __future__ import annotations

from commands.reissue_keys import ReissuedKeys, reissue_keys
from commands.reveal_codes import Revealed, reveal_codes
from commands.revoke_keys import FoundKeys, RevokedKeys, revoke_keys
from ledger.events import RequestContext
from ledger.refusals import ResellerNotFound
from ledger.reseller_names import folded
from ledger.streams.request import KeptKey
from projections.lists.batches import has_keys, owned_batch
from projections.lists.keys import KeyQuery, KeySet, key_set
from projections.lists.reseller_names import first_spelling
from web.app.services import Wiring


def revoke_batch(
    wiring: Wiring,
    context: RequestContext,
    batch: str,
    reason: str,
    reseller: str | None,
    idempotency_key: str | None = None,
) -> RevokedKeys:
    """Revoke the keys of a batch that nobody has redeemed; return what became of all of them.

    Args:
        reseller: who asks, and whose keys alone count; None for the vendor.

    Raises:
        BatchNotFound: no such batch, or none of whose keys are the reseller's.
        InvalidRequest, IdempotencyKeyReused, PartlyDone: as `revoke_keys`.
    """
    return revoke_keys(
        wiring.services,
        context,
        batch,
        lambda: _found(_of_batch(wiring, batch, reseller)),
        reason,
        reseller=reseller,
        idempotency_key=idempotency_key,
    )


def revoke_reseller(
    wiring: Wiring,
    context: RequestContext,
    reseller: str,
    reason: str,
    idempotency_key: str | None = None,
) -> RevokedKeys:
    """Revoke a reseller's keys that nobody has redeemed; return what became of all of them.

    Raises:
        ResellerNotFound: nobody was ever named so.
        InvalidRequest, IdempotencyKeyReused, PartlyDone: as `revoke_keys`.
    """
    book, tables = wiring.services.book, wiring.tables

    def find() -> FoundKeys:
        if first_spelling(book, tables, folded(reseller)) is None:
            raise ResellerNotFound
        return _found(key_set(book, tables, KeyQuery(reseller=reseller)))

    return revoke_keys(
        wiring.services,
        context,
        f"reseller {folded(reseller)}",
        find,
        reason,
        owner=reseller,
        idempotency_key=idempotency_key,
    )


def reveal_batch(
    wiring: Wiring, context: RequestContext, batch: str, reason: str, reseller: str | None
) -> Revealed:
    """Return the codes of a batch again; of another's order, those that are the reseller's by now.

    Raises:
        InvalidRequest, BatchNotFound, CodesNotDerivable: as `reveal_codes`.
    """
    owns = has_keys(wiring.services.book, wiring.tables, batch, reseller)
    return reveal_codes(wiring.services, context, batch, reason, reseller=reseller, has_keys=owns)


def reissue_batch(
    wiring: Wiring,
    context: RequestContext,
    batch: str,
    reason: str,
    reseller: str | None,
    idempotency_key: str | None = None,
) -> ReissuedKeys:
    """Give new codes for the keys of a batch that can be redeemed; return them.

    Raises:
        BatchNotFound, InvalidRequest, PartlyDone: as `revoke_batch`.
        IdempotencyKeyReused: as `reissue_keys`.
    """
    return reissue_keys(
        wiring.services,
        context,
        batch,
        lambda: _of_batch(wiring, batch, reseller).open,
        reason,
        reseller=reseller,
        idempotency_key=idempotency_key,
    )


def _of_batch(wiring: Wiring, batch: str, reseller: str | None) -> KeySet:
    book = wiring.services.book
    owned_batch(book, wiring.tables, batch, reseller)
    return key_set(book, wiring.tables, KeyQuery(batch=batch, reseller=reseller))


def _found(keys: KeySet) -> FoundKeys:
    return keys.open, [KeptKey(*one) for one in keys.closed]
