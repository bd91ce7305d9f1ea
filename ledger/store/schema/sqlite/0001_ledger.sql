-- The ledger itself. Positions and versions are the only order there is: see ledger/store/contract.py.

CREATE TABLE keyfold_events (
    rowid INTEGER PRIMARY KEY,  -- the position; the library's recorder reads it by this name
    originator_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (originator_id, originator_version)
);

-- Append-only. Who owns the file can still drop a trigger or edit the bytes: against that there are
-- checkpoints (ledger/proof/merkle.py), not triggers.

CREATE TRIGGER keyfold_events_refuse_update BEFORE UPDATE ON keyfold_events BEGIN
    SELECT RAISE(ABORT, 'keyfold_events is append-only: UPDATE is refused');
END;

CREATE TRIGGER keyfold_events_refuse_delete BEFORE DELETE ON keyfold_events BEGIN
    SELECT RAISE(ABORT, 'keyfold_events is append-only: DELETE is refused');
END;

-- INSERT OR REPLACE deletes without asking the trigger above, so these two come before it. They also
-- keep positions gapless, whoever inserts.

CREATE TRIGGER keyfold_events_refuse_taken_version BEFORE INSERT ON keyfold_events
WHEN EXISTS (
    SELECT 1 FROM keyfold_events
    WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version
)
BEGIN
    SELECT RAISE(ABORT, 'keyfold_events is append-only: this version of the stream is taken');
END;

CREATE TRIGGER keyfold_events_refuse_other_position BEFORE INSERT ON keyfold_events
WHEN NEW.rowid IS NOT (SELECT coalesce(max(rowid), 0) + 1 FROM keyfold_events)
BEGIN
    SELECT RAISE(ABORT, 'keyfold_events is append-only: the next position must be given');
END;

-- Keys of sealed free text, which must be destroyable: beside the ledger, outside every proof.

CREATE TABLE keyfold_text_keys (
    owner TEXT PRIMARY KEY,
    wrapped_key BLOB NOT NULL,
    created_at TEXT NOT NULL
) WITHOUT ROWID;

-- Which of these files have been applied.

CREATE TABLE keyfold_schema (
    version INTEGER PRIMARY KEY,
    applied_at TEXT NOT NULL
);
