-- Lists across streams: filled from the ledger when they are read (projections/lists/catch_up.py), and
-- disposable. A table's name ends with its version. Times are microseconds since 1970, UTC.

CREATE TABLE keyfold_projections (
    projection TEXT PRIMARY KEY,  -- name and version, e.g. key_list@1
    position INTEGER NOT NULL     -- its rows hold every event up to this one, no later one
) WITHOUT ROWID;

CREATE TABLE keyfold_key_list_1 (
    position INTEGER PRIMARY KEY,  -- of the event that issued it
    id TEXT NOT NULL UNIQUE,
    masked TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    months INTEGER NOT NULL,
    reseller TEXT NOT NULL,
    batch TEXT NOT NULL,
    batch_index INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    redeem_by INTEGER,
    redeemed_at INTEGER,  -- of a redeemed key's new code: before it was issued itself
    redeemed_by TEXT,
    subscription TEXT,
    revoked_at INTEGER,
    replaced_by TEXT,
    replaces TEXT
);

-- One for each question. All end with the position, by which the list is ordered, and what else the
-- question holds a row against, so that rows it does not want are passed over in the index.

CREATE INDEX keyfold_key_list_1_product ON keyfold_key_list_1 (product, position);
CREATE INDEX keyfold_key_list_1_reseller ON keyfold_key_list_1 (reseller, position);
CREATE INDEX keyfold_key_list_1_batch ON keyfold_key_list_1 (batch, position);
CREATE INDEX keyfold_key_list_1_redeemed_by ON keyfold_key_list_1 (redeemed_by, position)
    WHERE redeemed_by IS NOT NULL;
CREATE INDEX keyfold_key_list_1_open ON keyfold_key_list_1 (position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_1_open_product ON keyfold_key_list_1 (product, position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_1_open_reseller ON keyfold_key_list_1 (reseller, position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_1_redeemed ON keyfold_key_list_1 (position, redeemed_at, revoked_at)
    WHERE redeemed_at IS NOT NULL;
CREATE INDEX keyfold_key_list_1_revoked ON keyfold_key_list_1 (position, revoked_at)
    WHERE revoked_at IS NOT NULL;

CREATE TABLE keyfold_token_list_1 (
    position INTEGER PRIMARY KEY,  -- of the event that created it
    id TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    reseller TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);
