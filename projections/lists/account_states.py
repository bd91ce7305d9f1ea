"""Accounts as they were just after positions of the ledger."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec
from msgspec import Struct

from ledger import codec
from ledger.book import Book, LedgerUnavailable
from ledger.events import AnyOccurrence
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT

ACCOUNTS_MAX: Final = 1_000


class _Folded(Struct):
    """An account up to an event, and what was read of it beyond."""

    account: Account = ACCOUNT.initial
    position: int = 0
    version_read: int = 0
    ahead: deque[AnyOccurrence] = msgspec.field(default_factory=deque)


class AccountsAtPositions:
    """Accounts as they were at positions; each event is folded once while positions grow.

    Args:
        most: how many accounts are remembered, the least used dropped first.
    """

    def __init__(self, book: Book, most: int = ACCOUNTS_MAX) -> None:
        self._book = book
        self._most = most
        self._known: OrderedDict[str, _Folded] = OrderedDict()

    def at(self, id: str, position: int) -> Account:
        """Return an account as it was just after a position.

        Raises:
            LedgerUnavailable: the server that was asked has not come to that position.
        """
        folded = self._known.pop(id, None)
        if folded is None or folded.position > position:
            folded = _Folded()
        if not folded.ahead or folded.ahead[-1].position < position:
            head, rows = self._book.store.read_stream(ACCOUNT.name(id), after=folded.version_read)
            if head < position:
                raise LedgerUnavailable(f"this server lacks events up to {position}")
            folded.ahead.extend(codec.occurrences(rows))
            if rows:
                folded.version_read = rows[-1][1]
        due = []
        while folded.ahead and folded.ahead[0].position <= position:
            due.append(folded.ahead.popleft())
        folded.account = ACCOUNT.fold(folded.account, due)
        folded.position = position
        self._known[id] = folded
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return folded.account
