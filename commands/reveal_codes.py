"""Show the codes of a batch, or of one key, again to their owner."""

from __future__ import annotations

from typing import NamedTuple

from commands import validation
from commands.issue_keys import IssuedKey, code_of, codes_of, masked_unless_open
from commands.retry import retry_on_conflict
from commands.revoke_key import seal_reason
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.reseller_names import same
from ledger.streams import batch, key
from ledger.streams.batch import BATCH, KeysIssued
from ledger.streams.key import KEY, Key


class Revealed(NamedTuple):
    """Keys of a batch in order, each followed by those that were issued in its place since.

    The code of one that was revoked, replaced or redeemed is masked, and so is one that was issued
    elsewhere. Of keys that are another reseller's by now those of the order itself are there,
    masked, for whoever ordered them.
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
    has_keys: bool = False,
) -> Revealed:
    """Derive and return a batch's codes again, and put on record that they were shown.

    Whoever ordered it is shown all of it. A reseller that was given keys of it later is shown
    those, and each of them goes on record.

    Args:
        reseller: who asks; None for the vendor.
        has_keys: some of the batch are the reseller's, whoever ordered it.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        BatchNotFound, CodesNotDerivable: in this order.
    """
    validation.refuse_if(validation.reason(services, reason, reseller))

    def attempt() -> Revealed:
        loaded = services.book.load(BATCH, batch.stream_id(batch_id))
        issued = batch.derivable(loaded.state, reseller, has_keys=has_keys)
        keys = _batch(services, issued, context, reseller)
        is_anothers = loaded.state is None or not loaded.state.belongs_to(reseller)
        owner = reseller if is_anothers else issued.reseller
        sealed = services.texts.seal(f"reseller-{owner}", reason, context.now)
        own_keys = [one.id for one in keys] if is_anothers else []
        facts = batch.reveal(loaded.state, reseller, sealed, own_keys)
        appended = services.book.append(context, Change(loaded, facts))
        return Revealed(batch_id, keys, appended.position)

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
        issued = key.derivable(known.state, reseller).issued
        loaded = services.book.load(BATCH, batch.stream_id(issued.batch))
        line = [known, *_successors(services, known.state, reseller)]
        # Who has redeemed any of them has the newest.
        sealed = seal_reason(services, line[-1], reason, context)
        facts = batch.reveal_one(issued.key, sealed)
        appended = services.book.append(context, Change(loaded, facts))
        keys = [
            masked_unless_open(code_of(services, one.state.issued), one.state, context, reseller)
            for one in line
            if one.state is not None
        ]
        return Revealed(issued.batch, keys, appended.position)

    return retry_on_conflict(attempt)


def _batch(
    services: Services, issued: KeysIssued, context: RequestContext, reseller: str | None
) -> list[IssuedKey]:
    """Return each key of an order that a reseller ordered or has, and those that took its place."""
    ordered = codes_of(services, issued)
    states = services.book.load_many(KEY, [key.stream_id(one.id) for one in ordered])
    has_ordered = reseller is None or same(issued.reseller, reseller)
    shown = []
    for one in ordered:
        state = states[key.stream_id(one.id)].state
        if has_ordered or (state is not None and state.belongs_to(reseller)):
            shown.append(masked_unless_open(one, state, context, reseller))
        for new in _successors(services, state, reseller):
            assert new.state is not None
            code = code_of(services, new.state.issued)
            shown.append(masked_unless_open(code, new.state, context, reseller))
    return shown


def _successors(
    services: Services, state: Key | None, reseller: str | None
) -> list[Loaded[Key | None]]:
    """Return the keys that took a key's place, the newest last; of a reseller's, its own alone."""
    found = []
    while state is not None and state.replaced_by is not None:
        one = services.book.load(KEY, key.stream_id(state.replaced_by))
        state = one.state
        if state is not None and state.belongs_to(reseller):
            found.append(one)
    return found
