-- oldest program: 22
-- The notices, anew (projections/lists/notices_table.py): what is told of a subscription that was renewed, or given
-- under another code, is told by other rules than before. Disposable.

CREATE TABLE keyfold_notices_2 (
    days text COLLATE "C" NOT NULL,  -- before an end, that the catalog says
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    account text COLLATE "C",
    reseller text COLLATE "C",  -- whose key it is about, or gave it
    reseller_id text COLLATE "C",  -- the same in any spelling
    at bigint NOT NULL,
    position bigint NOT NULL,  -- of the event that it follows from
    known_at bigint NOT NULL,  -- when that was recorded
    facts text COLLATE "C" NOT NULL,  -- JSON
    PRIMARY KEY (days, id)
);

CREATE INDEX keyfold_notices_2_at ON keyfold_notices_2 (days, at, position, id);
CREATE INDEX keyfold_notices_2_account ON keyfold_notices_2 (days, account, at, position, id);
CREATE INDEX keyfold_notices_2_reseller ON keyfold_notices_2 (days, reseller_id, at, position, id);
CREATE INDEX keyfold_notices_2_kind ON keyfold_notices_2 (days, kind, at, position, id);
CREATE INDEX keyfold_notices_2_subject ON keyfold_notices_2 (days, subject, kind, at);
CREATE INDEX keyfold_notices_2_position ON keyfold_notices_2 (days, position);
