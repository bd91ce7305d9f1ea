"""How often a customer's session may send a file that takes no seat.

Reading a file takes a while, and one that was of no use is usually tried again at once. The tries
are counted in each worker for itself, and not on the ledger: of a file that was of no use nothing
is kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock
from typing import Final, NamedTuple

TRIES_MAX: Final = 20
PERIOD: Final = timedelta(minutes=10)
SESSIONS_REMEMBERED: Final = 10_000


class TooManyUploads(Exception):
    """The session has sent too many files that took no seat.

    Attributes:
        retry_after_s: until the next one is read.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class _Counted(NamedTuple):
    """The tries of a session since the first of them."""

    began_at: datetime
    tries: int


class UploadTries:
    """The tries of the sessions that sent a file lately."""

    def __init__(self, remembered: int = SESSIONS_REMEMBERED) -> None:
        self._remembered = remembered
        self._lock = Lock()
        self._counted: dict[str, _Counted] = {}

    def take(self, session: str, now: datetime) -> None:
        """Count a try, before its file is read, so that those sent at once are counted as well.

        Raises:
            TooManyUploads: this one is not counted, and its file is not to be read.
        """
        with self._lock:
            found = self._counted.pop(session, None)
            # A clock that was put back must not block for longer than the period.
            if found is None or not found.began_at <= now < found.began_at + PERIOD:
                found = _Counted(now, 0)
            if found.tries >= TRIES_MAX:
                self._counted[session] = found
                left = found.began_at + PERIOD - now
                raise TooManyUploads(-(-left // timedelta(seconds=1)))
            if len(self._counted) >= self._remembered:
                del self._counted[next(iter(self._counted))]
            self._counted[session] = found._replace(tries=found.tries + 1)

    def give_back(self, session: str) -> None:
        """Count one try less, since its file took a seat."""
        with self._lock:
            found = self._counted.get(session)
            if found is not None:
                self._counted[session] = found._replace(tries=max(0, found.tries - 1))
