-- oldest program: 8
-- When seats of keys were given and when seats were taken, for the ends of past months
-- (projections/lists/month_ends_table.py). Disposable.

CREATE TABLE keyfold_given_spans_1 (
    position INTEGER PRIMARY KEY,  -- of the event that began it, or made it wait
    id TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    starts_at INTEGER,  -- null while it waits to be resumed
    closed_at INTEGER,  -- if it ended before its time
    ends_at INTEGER NOT NULL
);

CREATE INDEX keyfold_given_spans_1_id ON keyfold_given_spans_1 (id);

CREATE TABLE keyfold_taken_spans_1 (
    position INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    holder TEXT NOT NULL,
    tier TEXT,
    starts_at INTEGER NOT NULL,
    closed_at INTEGER
);

CREATE INDEX keyfold_taken_spans_1_holder ON keyfold_taken_spans_1 (account, product, holder);
