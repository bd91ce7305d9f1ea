-- oldest program: 8
-- What the overview tells of keys' subscriptions, anew (projections/lists/overview_tables.py): with when each begins,
-- and whether it is suspended. What becomes true by the passing of time, or is for somebody to look at
-- (projections/lists/notices_table.py). Disposable.

CREATE TABLE keyfold_subscription_list_3 (
    position bigint PRIMARY KEY,  -- of the event that put it on its account
    id text COLLATE "C" NOT NULL UNIQUE,
    account text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    seats bigint NOT NULL,
    starts_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    scheduled bigint NOT NULL,  -- 1 if it was to begin later
    suspended bigint NOT NULL  -- 1 while it is
);

CREATE INDEX keyfold_subscription_list_3_ends ON keyfold_subscription_list_3 (ends_at);
CREATE INDEX keyfold_subscription_list_3_account ON keyfold_subscription_list_3 (account, product);

CREATE TABLE keyfold_notices_1 (
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

CREATE INDEX keyfold_notices_1_at ON keyfold_notices_1 (days, at, position, id);
CREATE INDEX keyfold_notices_1_account ON keyfold_notices_1 (days, account, at, position, id);
CREATE INDEX keyfold_notices_1_reseller ON keyfold_notices_1 (days, reseller_id, at, position, id);
CREATE INDEX keyfold_notices_1_kind ON keyfold_notices_1 (days, kind, at, position, id);
CREATE INDEX keyfold_notices_1_subject ON keyfold_notices_1 (days, subject, kind, at);
CREATE INDEX keyfold_notices_1_position ON keyfold_notices_1 (days, position);
