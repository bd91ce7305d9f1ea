"""A mark in an empty database into which a ledger is being restored.

It is there before the first row is, and goes in the transaction with which all of them come. So a
database whose restore was killed or failed says so, and is not taken for an empty ledger with which
somebody goes on: while it is there, the database refuses a first event from everybody else. Beside
events it says nothing, since a restore never leaves half a ledger: they are somebody's.
"""

from __future__ import annotations

from typing import Final, LiteralString

MADE_IN_STEP: Final = 2  # of the schema, the table that it is in
REFUSED: Final = "a restore into this database has not ended"  # by the trigger of step 23
LOCK: Final = "restore"  # of one restore at a time
BEGIN: LiteralString = """
    INSERT INTO keyfold_projections (projection, position)
    SELECT 'restore@1', 0 WHERE NOT EXISTS (SELECT 1 FROM keyfold_events)
    ON CONFLICT (projection) DO NOTHING
"""
END: LiteralString = "DELETE FROM keyfold_projections WHERE projection = 'restore@1'"
FIND: LiteralString = """
    SELECT 1 FROM keyfold_projections
    WHERE projection = 'restore@1' AND NOT EXISTS (SELECT 1 FROM keyfold_events)
"""
