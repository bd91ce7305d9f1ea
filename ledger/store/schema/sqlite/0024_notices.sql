-- oldest program: 22
-- The notices, anew (projections/lists/notices_table.py): what is told of a subscription that was renewed, or given
-- under another code, is told by other rules than before. Disposable.

CREATE TABLE keyfold_notices_2 (
    days TEXT NOT NULL,  -- before an end, that the catalog says
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    account TEXT,
    reseller TEXT,  -- whose key it is about, or gave it
    reseller_id TEXT,  -- the same in any spelling
    at INTEGER NOT NULL,
    position INTEGER NOT NULL,  -- of the event that it follows from
    known_at INTEGER NOT NULL,  -- when that was recorded
    facts TEXT NOT NULL,  -- JSON
    PRIMARY KEY (days, id)
) WITHOUT ROWID;

CREATE INDEX keyfold_notices_2_at ON keyfold_notices_2 (days, at, position, id);
CREATE INDEX keyfold_notices_2_account ON keyfold_notices_2 (days, account, at, position, id);
CREATE INDEX keyfold_notices_2_reseller ON keyfold_notices_2 (days, reseller_id, at, position, id);
CREATE INDEX keyfold_notices_2_kind ON keyfold_notices_2 (days, kind, at, position, id);
CREATE INDEX keyfold_notices_2_subject ON keyfold_notices_2 (days, subject, kind, at);
CREATE INDEX keyfold_notices_2_position ON keyfold_notices_2 (days, position);
