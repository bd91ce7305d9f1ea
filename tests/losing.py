"""An event goes missing, as if somebody had written to the database past the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg


def lose(database_url: str, position: int) -> None:
    """Delete the event at a position; nothing but an owner who disables the triggers can."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            triggers = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
                ("keyfold_events",),
            ).fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("DELETE FROM keyfold_events WHERE rowid = ?", (position,))
            for _, sql in triggers:
                connection.execute(sql)
            connection.commit()
        return
    with psycopg.connect(database_url) as session:
        session.execute("ALTER TABLE keyfold_events DISABLE TRIGGER USER")
        session.execute("DELETE FROM keyfold_events WHERE notification_id = %s", (position,))
        for (name,) in session.execute(
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid = 'keyfold_events'::regclass"
        ).fetchall():
            session.execute(f"ALTER TABLE keyfold_events ENABLE ALWAYS TRIGGER {name}")
