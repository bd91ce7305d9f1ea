"""Checkpoints of this process's ledger, with its tree and what it signs with."""

from __future__ import annotations

import base64
from datetime import datetime

from commands import sign_checkpoint as signing
from commands.sign_checkpoint import LedgerHead
from ledger.events import AnyEvent
from ledger.refusals import ReceiptNotReady
from ledger.streams import key as key_stream
from ledger.streams.key import KEY
from projections.audit import receipts, tree
from projections.lists import timeline
from web.app.services import Wiring


def sign_checkpoint(wiring: Wiring, now: datetime) -> str:
    """Return a signed checkpoint of the whole ledger.

    Raises:
        CannotSign: it contradicts one that was signed.
        TreeDamaged: its tree has not what it should have.
    """
    return signing.sign_checkpoint(wiring.signing, lambda: _standing(wiring), now)


def key_receipt(wiring: Wiring, key: str, reseller: str | None, now: datetime) -> str:
    """Return a receipt of a key's redemption, or of its last event if nobody redeemed it.

    Args:
        reseller: who asks, if it may see its own keys only.

    Raises:
        KeyNotFound: never issued, or another reseller's.
        ReceiptNotReady: all that happened to it tells of another reseller, who had it before.
        CannotSign: the ledger contradicts a checkpoint that was signed.
        TreeDamaged: its tree has not what it should have, or the event was changed.
    """
    book, tables = wiring.services.book, wiring.tables
    key_stream.owned(book.load(KEY, key_stream.stream_id(key)).state, reseller)

    def may_see(event: AnyEvent) -> bool:
        is_its_own = timeline.is_of(book, tables, event.position, reseller)
        # An event is proved as a whole or not at all.
        return is_its_own and not timeline.tells_of_another(event.fact, reseller)

    row = receipts.event_of_key(book, key, may_see)
    if row is None:
        raise ReceiptNotReady
    return receipts.receipt(book, wiring.tables, row, sign_checkpoint(wiring, now))


def hold_to_signed(wiring: Wiring) -> None:
    """Hold the ledger against the last checkpoint that it signed.

    Raises:
        CannotSign: it contradicts it.
        TreeDamaged: its tree has not what it should have.
    """
    signing.hold_to_signed(wiring.signing, lambda: _standing(wiring))


def to_base64(value: bytes) -> str:
    """Return a hash as it is written everywhere."""
    return base64.b64encode(value).decode("ascii")


def _standing(wiring: Wiring) -> LedgerHead:
    book, tables = wiring.services.book, wiring.tables
    reached = tree.reached(tables)  # before the head: the tree never is ahead of it
    return LedgerHead(reached, book.head(), lambda size: tree.root(book, tables, size))
