-- The timeline: for everything that an event names, where the events are that name it, and what a
-- question may narrow them down by (projections/lists/timeline.py). Disposable.

CREATE TABLE keyfold_timeline_1 (
    ref text COLLATE "C" NOT NULL,  -- its kind and itself, e.g. holder:till-1
    position bigint NOT NULL,  -- of the event
    event text COLLATE "C" NOT NULL,  -- its name without the version, e.g. account.seat_occupied
    actor text COLLATE "C" NOT NULL,
    reseller text COLLATE "C",  -- whose key or batch it happened to; null for everything else
    recorded_at bigint NOT NULL,
    occurred_at bigint NOT NULL,
    PRIMARY KEY (ref, position)
);

-- What the overview counts over all accounts (projections/lists/overview.py). Disposable.

CREATE TABLE keyfold_subscription_list_1 (
    position bigint PRIMARY KEY,  -- of the event that activated it
    id text COLLATE "C" NOT NULL UNIQUE,
    account text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    seats bigint NOT NULL,
    started_at bigint NOT NULL,
    ends_at bigint NOT NULL
);

CREATE INDEX keyfold_subscription_list_1_ends ON keyfold_subscription_list_1 (ends_at, started_at);

CREATE TABLE keyfold_seat_list_1 (
    account text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    position bigint NOT NULL,  -- of the event with which the holder sat down
    PRIMARY KEY (account, product, holder)
);

CREATE TABLE keyfold_refusals_1 (
    position bigint PRIMARY KEY,
    refusal text COLLATE "C" NOT NULL,  -- its code
    found text COLLATE "C",  -- what the key was that was tried, if it was looked up
    recorded_at bigint NOT NULL
);

CREATE INDEX keyfold_refusals_1_recorded_at ON keyfold_refusals_1 (recorded_at, refusal, found);
