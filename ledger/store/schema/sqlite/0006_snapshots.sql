-- Folded states of long streams (ledger/store/snapshots.py). Disposable.

CREATE TABLE keyfold_snapshots (
    stream TEXT PRIMARY KEY,
    shape INTEGER NOT NULL,      -- of the bytes; another release may have another
    version INTEGER NOT NULL,    -- of the last event that is folded in
    position INTEGER NOT NULL,   -- of the same
    recorded_at TEXT NOT NULL,  -- of the same, in ISO 8601
    state BLOB NOT NULL
);
