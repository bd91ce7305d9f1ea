"""Show the codes of a batch again to their owner."""

from __future__ import annotations

from typing import NamedTuple

from commands import checks
from commands.deciding import deciding
from commands.issue_keys import IssuedKey, codes_of
from commands.ports import Ports
from ledger.book import Change
from ledger.events import Stamp
from ledger.streams import batch, key
from ledger.streams.batch import BATCH, KeysIssued
from ledger.streams.key import KEY


class Revealed(NamedTuple):
    """A batch's keys in order; the code of one that was revoked or redeemed since is masked."""

    batch: str
    keys: list[IssuedKey]
    position: int


def reveal_codes(
    ports: Ports, stamp: Stamp, batch_id: str, reason: str, *, reseller: str | None = None
) -> Revealed:
    """Derive a batch's codes again, and put on record that they were shown.

    Args:
        reseller: who asks; None for the vendor.

    Raises:
        InvalidRequest: no reason, or one that does not fit.
        BatchNotFound, CodesNotDerivable: in this order.
    """
    checks.refuse_if(checks.reason(reason))

    def attempt() -> Revealed:
        loaded = ports.book.load(BATCH, batch.stream_id(batch_id))
        issued = loaded.state.issued if loaded.state else None
        owner = f"reseller-{issued.reseller}" if issued else None
        sealed = ports.texts.seal(owner, reason, stamp.now) if owner else None
        facts = batch.reveal(loaded.state, reseller, sealed)
        assert issued, "codes are revealed of an order only"
        appended = ports.book.append(stamp, Change(loaded, facts))
        return Revealed(batch_id, _shown(ports, issued, stamp), appended.position)

    return deciding(attempt)


def _shown(ports: Ports, issued: KeysIssued, stamp: Stamp) -> list[IssuedKey]:
    keys = codes_of(ports, issued)
    states = ports.book.load_many(KEY, [key.stream_id(one.id) for one in keys])
    shown = []
    for one in keys:
        state = states[key.stream_id(one.id)].state
        open_ = state is not None and state.status(stamp.now) in ("issued", "lapsed")
        shown.append(one if open_ else one._replace(code=one.masked))
    return shown
