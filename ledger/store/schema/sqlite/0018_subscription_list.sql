-- oldest program: 8
-- What the overview tells of keys' subscriptions, anew (projections/lists/overview_tables.py). Disposable. In the
-- table before, each gives its seats from the moment it is listed until it ends.

CREATE TABLE keyfold_subscription_list_3 (
    position INTEGER PRIMARY KEY,  -- of the event that put it on its account
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    starts_at INTEGER,  -- of one that was to begin later
    ends_at INTEGER NOT NULL,
    suspended INTEGER NOT NULL  -- 1 while it is
);

CREATE INDEX keyfold_subscription_list_3_ends ON keyfold_subscription_list_3 (ends_at);
CREATE INDEX keyfold_subscription_list_3_account ON keyfold_subscription_list_3 (account, product);
