-- oldest program: 8
-- What the overview tells of keys' subscriptions, anew (projections/lists/overview_tables.py): with when each begins,
-- and whether it is suspended. What becomes true by the passing of time, or is for somebody to look at
-- (projections/lists/notices_table.py). Disposable.

CREATE TABLE keyfold_subscription_list_3 (
    position INTEGER PRIMARY KEY,  -- of the event that put it on its account
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,  -- 1 if it was to begin later
    suspended INTEGER NOT NULL  -- 1 while it is
);

CREATE INDEX keyfold_subscription_list_3_ends ON keyfold_subscription_list_3 (ends_at);
CREATE INDEX keyfold_subscription_list_3_account ON keyfold_subscription_list_3 (account, product);

CREATE TABLE keyfold_notices_1 (
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

CREATE INDEX keyfold_notices_1_at ON keyfold_notices_1 (days, at, position, id);
CREATE INDEX keyfold_notices_1_account ON keyfold_notices_1 (days, account, at, position, id);
CREATE INDEX keyfold_notices_1_reseller ON keyfold_notices_1 (days, reseller_id, at, position, id);
CREATE INDEX keyfold_notices_1_kind ON keyfold_notices_1 (days, kind, at, position, id);
CREATE INDEX keyfold_notices_1_subject ON keyfold_notices_1 (days, subject, kind, at);
CREATE INDEX keyfold_notices_1_position ON keyfold_notices_1 (days, position);
