"""Which notices a webhook is told, and how far it was told of them.

Notices that are given together with an event are queued with it. The others are queued when their
time has come, in the order of the table, page by page: a cursor says up to which row.

    12:00 position 7 kfn_a   12:00 position 9 kfn_b │ 14:00 position 7 kfn_c
                                             cursor ┘

What becomes known when the cursor has gone past its time is given at once, with its event. If the
clock is set back, since it was wrong, the cursor goes back with it. What was queued beyond it is on
record, and not queued again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ledger.book import CLOCKS_APART_S
from projections.lists.notices_table import TABLE, setting
from projections.lists.stores.tables import Params, Tables, WriteTransaction, to_number

CURSORS: Final = "keyfold_webhook_notices_1"
PAGE_NOTICES: Final = 500
# How far the clock goes on before that is kept, when there is nothing to tell.
_CLOCK_STEP: Final = 60_000_000
_APART: Final = timedelta(seconds=CLOCKS_APART_S) // timedelta(microseconds=1)
# After all positions: a cursor there is after everything of its moment.
_LAST: Final = 2**62


class NoticeCursor(NamedTuple):
    """The last row of the notices that was looked at.

    Attributes:
        at, position, id: of the row; nothing of that moment follows `after`.
        ahead_until: how far it was before the clock was set back; 0 once it is there again.
    """

    at: int
    position: int
    id: str
    ahead_until: int = 0

    @classmethod
    def after(cls, at: int, ahead_until: int = 0) -> NoticeCursor:
        """Return the cursor that is just after a moment."""
        return cls(at, _LAST, "", ahead_until)

    def at_row(self, notice: TimelyNotice) -> NoticeCursor:
        """Return the cursor that is at a row."""
        return NoticeCursor(notice.at, notice.position, notice.id, self.ahead_until)


class TimelyNotice(NamedTuple):
    """A row of the table, as it is told."""

    id: str
    kind: str
    subject: str
    account: str | None
    reseller: str | None
    at: int
    position: int
    facts: str


_NOTICE: Final = "SELECT id, kind, subject, account, reseller, at, position, facts"
_CURSOR: Final = "(:cursor_at, :cursor_position, :cursor_id)"
_AT_ONCE: Final = f"""
    {_NOTICE} FROM {TABLE} WHERE days = :days AND position > :old AND position <= :new
    AND (at <= known_at OR (at, position, id) <= {_CURSOR}) ORDER BY position, at, id
"""
_TIMED: Final = f"""
    {_NOTICE} FROM {TABLE} WHERE days = :days AND (at, position, id) > {_CURSOR} AND at <= :until
    AND at > known_at AND position <= :queued_until ORDER BY at, position, id LIMIT :limit
"""
_READ: Final = f"SELECT at, position, notice, ahead_until FROM {CURSORS} WHERE webhook = :webhook"  # noqa: S608
_BEGIN: Final = f"""
    INSERT INTO {CURSORS} (webhook, at, position, notice, ahead_until)
    VALUES (:webhook, :at, :position, :id, :ahead_until) ON CONFLICT DO NOTHING
"""  # noqa: S608 - the names are this program's own
_MOVE: Final = f"""
    UPDATE {CURSORS} SET at = :at, position = :position, notice = :id, ahead_until = :ahead_until
    WHERE webhook = :webhook AND at = :cursor_at AND position = :cursor_position
    AND notice = :cursor_id RETURNING at
"""  # noqa: S608


def begin(work: WriteTransaction, webhook: str, at: datetime) -> None:
    """Have a webhook told of what comes after a moment, if it is not told of anything yet."""
    work.execute(_BEGIN, {"webhook": webhook, **NoticeCursor.after(to_number(at))._asdict()})


def has_cursor(tables: Tables, webhook: str) -> bool:
    """Return whether a webhook is told of notices, from whatever moment on."""
    return bool(tables.read(_READ, {"webhook": webhook}))


def read_cursor(tables: Tables, webhook: str) -> NoticeCursor:
    """Return up to which row a webhook was told."""
    return NoticeCursor(*tables.read(_READ, {"webhook": webhook})[0])


def move(work: WriteTransaction, webhook: str, old: NoticeCursor, new: NoticeCursor) -> bool:
    """Move a cursor that nobody else has moved; return whether it was ours to move."""
    params: Params = {"webhook": webhook, **_params(old), **new._asdict()}
    return bool(work.execute(_MOVE, params))


def given_at_once(
    tables: Tables, days: Sequence[int], cursor: NoticeCursor, old: int, new: int
) -> list[TimelyNotice]:
    """Return what is told together with the events after one position up to another."""
    params: Params = {"days": setting(days), "old": old, "new": new, **_params(cursor)}
    return [TimelyNotice(*row) for row in tables.read(_AT_ONCE, params)]


def next_timed(
    tables: Tables, days: Sequence[int], cursor: NoticeCursor, now: datetime, queued_until: int
) -> tuple[list[TimelyNotice], NoticeCursor]:
    """Return the next whose time has come, and where the cursor is when they are queued.

    That is where it was if there is nothing to tell, and no need to keep the time.

    Args:
        queued_until: the position up to which events are queued; theirs alone are told.
    """
    until = to_number(now)
    if until <= cursor.at:
        return [], cursor
    params: Params = {
        "days": setting(days), "until": until, "queued_until": queued_until,
        "limit": PAGE_NOTICES, **_params(cursor),
    }  # fmt: skip
    found = [TimelyNotice(*row) for row in tables.read(_TIMED, params)]
    if len(found) == PAGE_NOTICES:
        return found, cursor.at_row(found[-1])
    if not found and until - cursor.at < _CLOCK_STEP:
        return [], cursor
    ahead_until = cursor.ahead_until if cursor.ahead_until > until else 0
    return found, NoticeCursor.after(until, ahead_until)


def is_ahead(cursor: NoticeCursor, now: datetime) -> bool:
    """Return whether a clock that was wrong moved a cursor."""
    return cursor.at > to_number(now) + _APART


def set_back(work: WriteTransaction, webhook: str, cursor: NoticeCursor, at: int) -> bool:
    """Have a webhook told again, from a moment on, of what is not queued; return as `move`."""
    new = NoticeCursor.after(at, max(cursor.at, cursor.ahead_until))
    return move(work, webhook, cursor, new)


def _params(cursor: NoticeCursor) -> Params:
    return {"cursor_at": cursor.at, "cursor_position": cursor.position, "cursor_id": cursor.id}
