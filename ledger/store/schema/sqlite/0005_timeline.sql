-- The timeline: for everything that an event names, where the events are that name it, and what a
-- question may narrow them down by (projections/lists/timeline.py). Disposable.

CREATE TABLE keyfold_timeline_1 (
    ref TEXT NOT NULL,             -- its kind and itself, e.g. holder:till-1
    position INTEGER NOT NULL,     -- of the event
    event TEXT NOT NULL,           -- its name without the version, e.g. account.seat_occupied
    actor TEXT NOT NULL,
    reseller TEXT,                 -- whose key or batch it happened to; null for everything else
    recorded_at INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    PRIMARY KEY (ref, position)
) WITHOUT ROWID;

-- What the overview counts over all accounts (projections/lists/overview.py). Disposable.

CREATE TABLE keyfold_subscription_list_1 (
    position INTEGER PRIMARY KEY,  -- of the event that activated it
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
);

CREATE INDEX keyfold_subscription_list_1_ends ON keyfold_subscription_list_1 (ends_at, started_at);

CREATE TABLE keyfold_seat_list_1 (
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    holder TEXT NOT NULL,
    tier TEXT,
    position INTEGER NOT NULL,     -- of the event with which the holder sat down
    PRIMARY KEY (account, product, holder)
) WITHOUT ROWID;

CREATE TABLE keyfold_refusals_1 (
    position INTEGER PRIMARY KEY,
    refusal TEXT NOT NULL,         -- its code
    found TEXT,                    -- what the key was that was tried, if it was looked up
    recorded_at INTEGER NOT NULL
);

CREATE INDEX keyfold_refusals_1_recorded_at ON keyfold_refusals_1 (recorded_at, refusal, found);
