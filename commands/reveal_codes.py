"""Show the codes of a batch, or of one key, again to their owner."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.issue_keys import IssuedKey, codes_of, masked_unless_open
from commands.retry import retry_on_conflict
from commands.revoke_key import seal_reason
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.streams import batch, key
from ledger.streams.batch import BATCH, KeysIssued
from ledger.streams.key import KEY, Key, KeyIssued


class Revealed(NamedTuple):
    """Keys of a batch in order, each followed by those that were issued in its place since.

    The code of one that was revoked, replaced or redeemed is masked, and so is one that was issued
    elsewhere, or is another reseller's by now.
    """

    batch: str
    keys: list[IssuedKey]
    position: int


def reveal_codes(
    services: Services,
    context: RequestContext,
    batch_id: str,
    reason: str,
    *,
    reseller: str | None = None,
) -> Revealed:
    """Derive and return a batch's codes again, and put on record that they were shown.

    Args:
        reseller: who asks; None for the vendor.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        BatchNotFound, CodesNotDerivable: in this order.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))

    def attempt() -> Revealed:
        loaded = services.book.load(BATCH, batch.stream_id(batch_id))
        issued = loaded.state.issued if loaded.state else None
        owner = f"reseller-{issued.reseller}" if issued else None
        sealed = services.texts.seal(owner, reason, context.now) if owner else None
        facts = batch.reveal(loaded.state, reseller, sealed)
        assert issued, "codes are revealed of an order only"
        appended = services.book.append(context, Change(loaded, facts))
        return Revealed(batch_id, _batch(services, issued, context, reseller), appended.position)

    return retry_on_conflict(attempt)


def reveal_code(
    services: Services,
    context: RequestContext,
    key_id: str,
    reason: str,
    *,
    reseller: str | None = None,
) -> Revealed:
    """Derive and return a key's code again, and those of keys that were issued in its place.

    That they were shown is put on record.

    So a code that was given in place of an imported one can be shown, too.

    Args:
        reseller: who asks; None for the vendor.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        KeyNotFound, CodesNotDerivable: in this order; the latter also of an imported key in whose
            place none was issued.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))

    def attempt() -> Revealed:
        known = services.book.load(KEY, key.stream_id(key_id))
        state = known.state
        issued = key.derivable(state, reseller).issued
        loaded = services.book.load(BATCH, batch.stream_id(issued.batch))
        sealed = seal_reason(services, _newest(services, known), reason, context)
        facts = batch.reveal_one(issued.key, sealed)
        appended = services.book.append(context, Change(loaded, facts))
        keys = _with_successors(services, _code_of(services, issued), state, context, reseller)
        return Revealed(issued.batch, keys, appended.position)

    return retry_on_conflict(attempt)


def _newest(services: Services, one: Loaded[Key | None]) -> Loaded[Key | None]:
    """Return the key that has taken a key's place; who has redeemed any of them has this one."""
    while one.state is not None and one.state.replaced_by is not None:
        one = services.book.load(KEY, key.stream_id(one.state.replaced_by))
    return one


def _batch(
    services: Services, issued: KeysIssued, context: RequestContext, reseller: str | None
) -> list[IssuedKey]:
    """Return each key of an order, and after it those that took its place."""
    ordered = codes_of(services, issued)
    states = services.book.load_many(KEY, [key.stream_id(one.id) for one in ordered])
    return [
        shown
        for one in ordered
        for shown in _with_successors(
            services, one, states[key.stream_id(one.id)].state, context, reseller
        )
    ]


def _with_successors(
    services: Services,
    one: IssuedKey,
    state: Key | None,
    context: RequestContext,
    reseller: str | None,
) -> list[IssuedKey]:
    """Return a key, and after it those that took its place, the newest last."""
    shown = [masked_unless_open(one, state, context, reseller)]
    while state is not None and state.replaced_by is not None:
        state = services.book.load(KEY, key.stream_id(state.replaced_by)).state
        if state is not None:
            new = _code_of(services, state.issued)
            shown.append(masked_unless_open(new, state, context, reseller))
    return shown


def _code_of(services: Services, issued: KeyIssued) -> IssuedKey:
    """Derive the code of a key; one that was issued elsewhere stays masked."""
    if not issued.derived:
        return IssuedKey(issued.key, issued.masked, issued.masked)
    prefix = codes.prefix_of(issued.masked)
    code = services.codes.derive(prefix, issued.batch, issued.index, issued.generation)
    return IssuedKey(issued.key, code, issued.masked)
