"""Somebody with full write access to the database, who has put the triggers out of the way.

    with attacker(ledger.url) as evil:
        evil.change_state(17)

On SQLite that is whoever can write the file; on PostgreSQL a superuser. Positions are made to look
right afterwards wherever that is possible: a gap would give the attack away at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

import psycopg

FORGED = b'{"fact":{"thing":"forged"},"recorded_at":"2026-03-01T12:00:17Z"}'
CHANGED_BYTE = 18  # in the fact of a thing
FAR = 1_000_000_000


_TRIGGERS = """
    SELECT tgrelid::regclass::text, quote_ident(tgname) FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'keyfold_%'
"""


class Connection(Protocol):
    """What both drivers have in common."""

    def execute(self, sql: Any, params: Any = ...) -> Any: ...


class Attacker:
    """Direct access to the tables; `position` is the name of the position's column."""

    def __init__(self, connection: Connection, position: str, place: str) -> None:
        self._connection = connection
        self._position = position
        self._place = place

    def run(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Run a statement with `?` for parameters and `position` for the column."""
        sql = sql.replace("position", self._position).replace("?", self._place)
        found = self._connection.execute(sql, params)
        return list(found.fetchall()) if found.description else []

    # One event

    def change_state(self, at: int) -> None:
        """Change one byte."""
        ((state,),) = self.run("SELECT state FROM keyfold_events WHERE position = ?", at)
        changed = bytearray(state)
        changed[CHANGED_BYTE] ^= 1
        self.run("UPDATE keyfold_events SET state = ? WHERE position = ?", bytes(changed), at)

    def change_name(self, at: int) -> None:
        self.run("UPDATE keyfold_events SET topic = topic || '1' WHERE position = ?", at)

    def change_version(self, at: int) -> None:
        self.run(
            "UPDATE keyfold_events SET originator_version = originator_version + 1000"
            " WHERE position = ?",
            at,
        )

    def change_stream(self, at: int) -> None:
        self.run(
            "UPDATE keyfold_events SET originator_id = originator_id || 'x' WHERE position = ?", at
        )

    # Several

    def swap(self, one: int, other: int) -> None:
        move = "UPDATE keyfold_events SET position = ? WHERE position = ?"
        self.run(move, FAR, one)
        self.run(move, one, other)
        self.run(move, other, FAR)

    def delete(self, at: int) -> None:
        """Delete an event, and close the gap."""
        self.delete_leaving_a_gap(at)
        self._shift(at, -1)

    def delete_leaving_a_gap(self, at: int) -> None:
        self.run("DELETE FROM keyfold_events WHERE position = ?", at)

    def cut_after(self, at: int) -> None:
        self.run("DELETE FROM keyfold_events WHERE position > ?", at)

    def insert(self, at: int, stream: str, version: int, name: str, state: bytes) -> None:
        """Put a forged event in, and move the others up."""
        self._shift(at - 1, 1)
        self.run(
            "INSERT INTO keyfold_events"
            " (originator_id, originator_version, topic, state, position) VALUES (?, ?, ?, ?, ?)",
            stream,
            version,
            name,
            state,
            at,
        )

    def rewrite_from(self, at: int) -> None:
        """Change every event from a position on, and have the tree made anew over them."""
        for (position,) in self.run("SELECT position FROM keyfold_events WHERE position >= ?", at):
            self.change_state(position)
        self.forget_tree()

    def forget_tree(self) -> None:
        """Have the tree made anew from whatever the events are now."""
        self.run("DELETE FROM keyfold_tree_1")
        self.run("DELETE FROM keyfold_projections WHERE projection = ?", "tree@1")

    def forget_signed(self) -> None:
        self.run("DELETE FROM keyfold_signed_checkpoints")

    def _shift(self, after: int, by: int) -> None:
        """Move all events after a position, by way of positions far away that nobody has."""
        move = "UPDATE keyfold_events SET position = position + ? WHERE position > ?"
        self.run(move, FAR, after)
        self.run(move, by - FAR, FAR)


@contextmanager
def attacker(url: str) -> Iterator[Attacker]:
    """Open a database with all of its triggers out of the way."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
                file.execute(f"DROP TRIGGER {name}")
            yield Attacker(file, "rowid", "?")
            file.commit()
        return
    with psycopg.connect(url) as session:
        for table, trigger in session.execute(_TRIGGERS).fetchall():
            session.execute(f"DROP TRIGGER {trigger} ON {table}")
        session.commit()  # or nobody could read meanwhile
        yield Attacker(session, "notification_id", "%s")
