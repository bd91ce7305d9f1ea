"""A receipt: one event, the proof that it is in the ledger, and a checkpoint, in one small file.

    c2sp.org/tlog-proof@v1
    extra eyJzcGVjdmVyc2lvbiI6IjEuMCIs…           the event, as a line of an export, in base64
    index 16                                      its leaf: the position less one
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=  the siblings from the leaf to the root
    …

    keyfold/7tq3bd5xw4a6bl7m                      a checkpoint, with its signatures
    …

Whoever has it can check it without us, `keyfold audit verifier` for instance.

Source: C2SP tlog-proof.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Final

from ledger import codec
from ledger.book import Book
from ledger.events import AnyEvent
from ledger.min_position import PositionNotReached, hold_to_min_position
from ledger.proof import notes
from ledger.proof.cloud_events import line_of
from ledger.store import Row
from ledger.store.contract import rows_of
from ledger.streams.account.facts import (
    SubscriptionActivated,
    SubscriptionImported,
    SubscriptionScheduled,
)
from ledger.streams.key import KeyRedeemed
from projections.audit import tree
from projections.audit.tree import TreeDamaged
from projections.lists.stores import Tables

HEADER: Final = "c2sp.org/tlog-proof@v1"
_BEGINNINGS: Final = SubscriptionActivated | SubscriptionImported | SubscriptionScheduled


# Which event


def event_of_key(
    book: Book, key: str, may_see: Callable[[AnyEvent], bool] = lambda _: True
) -> Row | None:
    """Return the event that redeemed a key; the last one of a key that nobody redeemed.

    Args:
        may_see: whether the reader may; other events are passed over.
    """
    events = ((row, codec.decode(row)) for row in _rows(book, key.replace("key_", "key-", 1)))
    seen = [(row, event.fact) for row, event in events if may_see(event)]
    redeemed = [one for one in seen if isinstance(one[1], KeyRedeemed)]
    return next((row for row, _ in reversed(redeemed or seen)), None)


def event_of_subscription(book: Book, subscription: str) -> Row | None:
    """Return the event that began a subscription, or said when it will begin."""
    for row in _redemptions(book, subscription.replace("kfsub_", "key-", 1)):
        redeemed = codec.decode(row).fact
        assert isinstance(redeemed, KeyRedeemed)
        for candidate in _rows(book, f"account-{redeemed.account}"):
            fact = codec.decode(candidate).fact
            if isinstance(fact, _BEGINNINGS) and fact.subscription == subscription:
                return candidate
    return None


def event_at(book: Book, position: int) -> Row | None:
    """Return the event at a position."""
    rows = book.store.read_from(position - 1, 1, position) if position > 0 else []
    return rows[0] if rows else None


def _redemptions(book: Book, stream: str) -> Iterator[Row]:
    """Return the redemption of a key; its subscription is named after it."""
    rows = _rows(book, stream)
    return (row for row in rows if isinstance(codec.decode(row).fact, KeyRedeemed))


def _rows(book: Book, stream: str) -> list[Row]:
    head, rows = book.store.read_stream(stream)
    hold_to_min_position(head)
    return rows_of(stream, rows)


# The receipt


def receipt(book: Book, tables: Tables, row: Row, checkpoint: str) -> str:
    """Return a receipt, as text, that an event is in the ledger that a checkpoint was signed of.

    Args:
        checkpoint: of this ledger.

    Raises:
        PositionNotReached: the checkpoint does not cover the event: it is a standby's.
        TreeDamaged: the event is not the one that was hashed, or the tree is not whole.
    """
    _, stated = notes.parse_checkpoint(checkpoint.encode())
    if stated.size < row.position:
        raise PositionNotReached(stated.size)
    proof = tree.inclusion(book, tables, row.position, stated.size)
    if tree.hash_row(row) != proof.leaf:
        raise TreeDamaged(f"the event at position {row.position} is not the one that was hashed")
    if proof.root != stated.root:
        raise TreeDamaged(f"the tree at {stated.size} events is not the one that was signed")
    lines = [
        HEADER,
        f"extra {_to_base64(line_of(row))}",
        f"index {row.position - 1}",
        *map(_to_base64, proof.hashes),
        "",
        checkpoint,
    ]
    return "\n".join(lines)


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
