"""A mark in a database into which a ledger is being restored.

It is there before the first row is, and goes in the transaction with which the last one comes. So a
database whose restore was killed or failed says so, and is not taken for an empty ledger with which
somebody goes on.
"""

from __future__ import annotations

from typing import Final, LiteralString

MADE_IN_STEP: Final = 2  # of the schema, the table that it is in
BEGIN: LiteralString = """
    INSERT INTO keyfold_projections (projection, position)
    SELECT 'restore@1', 0 WHERE NOT EXISTS (SELECT 1 FROM keyfold_events)
    ON CONFLICT (projection) DO NOTHING
"""
END: LiteralString = "DELETE FROM keyfold_projections WHERE projection = 'restore@1'"
FIND: LiteralString = "SELECT 1 FROM keyfold_projections WHERE projection = 'restore@1'"
