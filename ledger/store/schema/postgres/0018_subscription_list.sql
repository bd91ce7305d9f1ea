-- oldest program: 8
-- What the overview tells of keys' subscriptions, anew (projections/lists/overview_tables.py). Disposable. In the
-- table before, each gives its seats from the moment it is listed until it ends.

CREATE TABLE keyfold_subscription_list_3 (
    position bigint PRIMARY KEY,  -- of the event that put it on its account
    id text COLLATE "C" NOT NULL UNIQUE,
    account text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    seats bigint NOT NULL,
    starts_at bigint,  -- of one that was to begin later
    ends_at bigint NOT NULL,
    suspended bigint NOT NULL  -- 1 while it is
);

CREATE INDEX keyfold_subscription_list_3_ends ON keyfold_subscription_list_3 (ends_at);
CREATE INDEX keyfold_subscription_list_3_account ON keyfold_subscription_list_3 (account, product);
