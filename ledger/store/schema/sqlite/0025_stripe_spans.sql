-- oldest program: 22
-- When Stripe's subscriptions gave seats, account by account, and how far each account was folded for it
-- (projections/lists/stripe_spans.py). Disposable.

CREATE TABLE keyfold_stripe_changed_1 (
    account TEXT PRIMARY KEY,
    position INTEGER NOT NULL,  -- of the last event that says what Stripe's subscriptions give
    recorded_at INTEGER NOT NULL
);

CREATE TABLE keyfold_stripe_folded_1 (
    account TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
);

CREATE TABLE keyfold_stripe_spans_1 (
    account TEXT NOT NULL,
    subscription TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    announced_end INTEGER
);

CREATE INDEX keyfold_stripe_spans_1_account ON keyfold_stripe_spans_1 (account);
