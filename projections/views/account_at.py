"""An account at a moment.

Every question about an account has two times. `as_of` is the moment that is asked about: what was
true then? `known_at` is the moment whose knowledge is used: what had been recorded by then? Both
default to now. A future `as_of` answers what will be true if nothing more happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ledger.book import Book
from ledger.events import AnyOccurrence
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT


class Moment(NamedTuple):
    """The two times of a question, and the time at which it is asked; all aware, UTC.

    Who gives neither asks about now, and gets everything that is recorded: also what another
    machine recorded whose clock was ahead. It has happened, whatever time was written to it.
    """

    now: datetime
    as_of: datetime | None = None
    known_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """Return the moment that is asked about."""
        return self.as_of or self.now

    @property
    def known(self) -> datetime:
        """Return the moment whose knowledge is used."""
        return self.known_at or self.now

    def covers(self, event: AnyOccurrence) -> bool:
        """Return whether an event had happened and was known."""
        return (self.as_of is None or event.occurred_at <= self.as_of) and (
            self.known_at is None or event.recorded_at <= self.known_at
        )


class AccountAt(NamedTuple):
    """An account's state for one moment.

    Attributes:
        position: the ledger's head that it was computed at.
        version: of the account's stream now, whatever the moment asked about.
        derived: as in `ledger.book.Loaded`, if the state is one that the book remembers.
    """

    id: str
    account: Account
    moment: Moment
    position: int
    version: int
    derived: dict[str, Any] | None = None

    @property
    def header(self) -> tuple[str, datetime, datetime, int]:
        """Return what an `AccountAnswer` begins with: id, both moments, position."""
        return self.id, self.moment.at, self.moment.known, self.position


def account_at(book: Book, id: str, moment: Moment, reached: int | None = None) -> AccountAt:
    """Return an account as it was at a moment, with what was known then.

    Args:
        reached: as for `Book.load`.
    """
    if moment.as_of is None and moment.known_at is None:
        loaded = book.load(ACCOUNT, id, reached)
        return AccountAt(id, loaded.state, moment, loaded.head, loaded.version, loaded.derived)
    head, events = book.occurrences(ACCOUNT, id)
    version = 0

    def covered() -> Iterator[AnyOccurrence]:
        nonlocal version
        for event in events:
            version = event.version
            if moment.covers(event):
                yield event

    account = ACCOUNT.fold(ACCOUNT.initial, covered())
    return AccountAt(id, account, moment, head, version)
