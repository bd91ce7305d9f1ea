-- oldest program: 8
-- What the overview tells of keys' subscriptions, anew (projections/lists/overview_tables.py). Disposable. In the
-- table before, one that had begun when it was listed has no start. Notices, too: those in the table before follow
-- another rule of what has been renewed (ledger/renewals.py).

CREATE TABLE keyfold_subscription_list_4 (
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

CREATE INDEX keyfold_subscription_list_4_ends ON keyfold_subscription_list_4 (ends_at);
CREATE INDEX keyfold_subscription_list_4_account ON keyfold_subscription_list_4 (account, product);

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
