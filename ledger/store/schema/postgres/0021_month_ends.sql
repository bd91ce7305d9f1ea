-- oldest program: 8
-- When seats of keys were given and when seats were taken, for the ends of past months
-- (projections/lists/month_ends_table.py). Disposable.

CREATE TABLE keyfold_given_spans_1 (
    position bigint PRIMARY KEY,  -- of the event that began it, or made it wait
    id text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    seats bigint NOT NULL,
    starts_at bigint,  -- null while it waits to be resumed
    closed_at bigint,  -- if it ended before its time
    ends_at bigint NOT NULL
);

CREATE INDEX keyfold_given_spans_1_id ON keyfold_given_spans_1 (id);

CREATE TABLE keyfold_taken_spans_1 (
    position bigint PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    starts_at bigint NOT NULL,
    closed_at bigint
);

CREATE INDEX keyfold_taken_spans_1_holder ON keyfold_taken_spans_1 (account, product, holder);
