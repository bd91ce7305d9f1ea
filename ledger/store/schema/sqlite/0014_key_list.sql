-- oldest program: 8
-- The list of keys anew: with what a key was before it was amended, and by resellers' names in any spelling
-- (projections/lists/keys.py, projections/lists/reseller_names.py). Disposable.

CREATE TABLE keyfold_key_list_2 (
    position INTEGER NOT NULL,  -- of the event that issued it
    id TEXT NOT NULL,
    masked TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    months INTEGER NOT NULL,
    reseller TEXT NOT NULL,
    reseller_id TEXT NOT NULL,  -- the folded name
    batch TEXT NOT NULL,
    batch_index INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    redeem_by INTEGER,
    redeemed_at INTEGER,  -- of a redeemed key's new code: before it was issued itself
    redeemed_by TEXT,
    subscription TEXT,
    revoked_at INTEGER,
    replaced_by TEXT,
    replaces TEXT,
    since INTEGER NOT NULL,     -- when it became what the row says
    ended_by INTEGER NOT NULL,  -- position of the event that made it something else; 0 for what it is
    ended_at INTEGER,
    PRIMARY KEY (position, ended_by)
) WITHOUT ROWID;

CREATE UNIQUE INDEX keyfold_key_list_2_id ON keyfold_key_list_2 (id, ended_by);

-- One for each question. All end with the position, by which the list is ordered, and what else the
-- question holds a row against, so that rows it does not want are passed over in the index.

CREATE INDEX keyfold_key_list_2_product ON keyfold_key_list_2 (product, position);
CREATE INDEX keyfold_key_list_2_reseller ON keyfold_key_list_2 (reseller_id, position);
CREATE INDEX keyfold_key_list_2_batch ON keyfold_key_list_2 (batch, position);
CREATE INDEX keyfold_key_list_2_redeemed_by ON keyfold_key_list_2 (redeemed_by, position)
    WHERE redeemed_by IS NOT NULL;
CREATE INDEX keyfold_key_list_2_open ON keyfold_key_list_2 (position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_2_open_product ON keyfold_key_list_2 (product, position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_2_open_reseller ON keyfold_key_list_2 (reseller_id, position, redeem_by)
    WHERE redeemed_at IS NULL AND revoked_at IS NULL;
CREATE INDEX keyfold_key_list_2_redeemed ON keyfold_key_list_2 (position, redeemed_at, revoked_at)
    WHERE redeemed_at IS NOT NULL;
CREATE INDEX keyfold_key_list_2_revoked ON keyfold_key_list_2 (position, revoked_at)
    WHERE revoked_at IS NOT NULL;

CREATE TABLE keyfold_reseller_names_1 (
    name TEXT PRIMARY KEY,  -- as it was spelled
    id TEXT NOT NULL,       -- folded: the same for all spellings of one reseller
    position INTEGER NOT NULL  -- of the event that spelled it so first
) WITHOUT ROWID;

CREATE INDEX keyfold_reseller_names_1_id ON keyfold_reseller_names_1 (id, position);
