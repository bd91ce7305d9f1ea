"""Tables for lists across streams, beside the ledger in the same database.

    tables = open_tables("sqlite:///keyfold.db")

They are made by `ledger.store.schema.upgrade`; those of a ledger in memory are made here, and go
with their process. Nothing in them is the only copy of anything.
"""

from __future__ import annotations

from projections.lists.stores.scratch import ScratchTables
from projections.lists.stores.tables import BulkTables, ReadTransaction, Tables, WriteTransaction

__all__ = [
    "BulkTables",
    "ReadTransaction",
    "ScratchTables",
    "Tables",
    "WriteTransaction",
    "open_tables",
]


def open_tables(database_url: str) -> Tables:
    """Return the tables of the ledger at an address; nothing is asked of the database yet.

    Args:
        database_url: as for `ledger.book.Book`; one that is none of those has been refused there.
    """
    if database_url == "memory:":
        return ScratchTables()
    # Each brings its database's driver, and a process needs only one of them.
    if database_url.startswith("sqlite:"):
        from projections.lists.stores.sqlite import SqliteTables

        return SqliteTables(database_url)
    from projections.lists.stores.postgres import PostgresTables

    return PostgresTables(database_url)
