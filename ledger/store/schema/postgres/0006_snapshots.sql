-- Folded states of long streams (ledger/store/snapshots.py). Disposable.

CREATE TABLE keyfold_snapshots (
    stream text COLLATE "C" PRIMARY KEY,
    shape integer NOT NULL,     -- of the bytes; another release may have another
    version bigint NOT NULL,    -- of the last event that is folded in
    position bigint NOT NULL,   -- of the same
    recorded_at text NOT NULL,  -- of the same, in ISO 8601
    state bytea NOT NULL
);
