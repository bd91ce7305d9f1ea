"""When each access token was last used: beside the ledger, and coarse.

A row holds the hour in which a token was used last. It is nothing that anybody decides by, and a
request that only reads must append no event, so it is no part of the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, LiteralString, Protocol

from ledger.store.eventsourcing_adapter import PersistenceError

REMEMBERED_MAX: Final = 10_000
ALL: LiteralString = "SELECT token, used_at FROM keyfold_token_uses"


class TokenUses(Protocol):
    """The hour of each token's last use."""

    def put(self, token: str, hour: datetime) -> None:
        """Remember that a token was used in an hour, unless it was used in a later one."""

    def all(self) -> dict[str, datetime]:
        """Return the hours by token; a token that was never used has none."""


class NotedUses:
    """Writes a use down once in an hour for each token, and never fails a request over it."""

    def __init__(self, uses: TokenUses) -> None:
        self._uses = uses
        self._noted: dict[str, datetime] = {}

    def note(self, token: str, now: datetime) -> None:
        """Remember that a token is used now; one write an hour, by each process.

        A standby cannot be written, and a database may be away: then this use is not remembered.
        """
        hour = now.replace(minute=0, second=0, microsecond=0)
        if self._noted.get(token) == hour:
            return
        if len(self._noted) >= REMEMBERED_MAX:
            self._noted.clear()
        self._noted[token] = hour
        try:
            self._uses.put(token, hour)
        except PersistenceError:
            return

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        return self._uses.all()
