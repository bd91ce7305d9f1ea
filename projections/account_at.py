"""An account at a moment.

Every question about an account has two times. `as_of` is the moment that is asked about: what was
true then? `known_at` is the moment whose knowledge is used: what had been recorded by then? Both
default to now. A future `as_of` answers what will be true if nothing more happens.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.account import ACCOUNT, Account


class Moment(NamedTuple):
    """The two times of a question, and the time at which it is asked; all aware, UTC."""

    now: datetime
    as_of: datetime | None = None
    known_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """The moment that is asked about."""
        return self.as_of or self.now

    @property
    def known(self) -> datetime:
        """The moment whose knowledge is used."""
        return self.known_at or self.now

    def covers(self, event: AnyEvent) -> bool:
        """Tell whether an event had happened and was known."""
        return (self.as_of is None or event.occurred_at <= self.as_of) and (
            self.known_at is None or event.recorded_at <= self.known_at
        )


class AccountAt(NamedTuple):
    """An account's state for one moment.

    Attributes:
        position: the ledger's head that it was computed at.
        version: of the account's stream now, whatever the moment asked about.
    """

    id: str
    account: Account
    moment: Moment
    position: int
    version: int


def account_at(book: Book, id: str, moment: Moment) -> AccountAt:
    """Answer an account as it was at a moment, with what was known then."""
    if moment.as_of is None and moment.known_at is None:
        loaded = book.load(ACCOUNT, id)
        # Another machine's clock may be ahead of ours: what it has recorded has happened.
        now = max(moment.now, loaded.recorded_at or moment.now)
        return AccountAt(id, loaded.state, Moment(now), loaded.head, loaded.version)
    head, events = book.history(ACCOUNT, id)
    account = ACCOUNT.fold(ACCOUNT.initial, filter(moment.covers, events))
    return AccountAt(id, account, moment, head, len(events))
