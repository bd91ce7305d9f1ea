-- oldest program: 22
-- When Stripe's subscriptions gave seats, account by account, and how far each account was folded for it
-- (projections/lists/stripe_spans.py). Disposable.

CREATE TABLE keyfold_stripe_changed_1 (
    account text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,  -- of the last event that says what Stripe's subscriptions give
    recorded_at bigint NOT NULL
);

CREATE TABLE keyfold_stripe_folded_1 (
    account text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    recorded_at bigint NOT NULL
);

CREATE TABLE keyfold_stripe_spans_1 (
    account text COLLATE "C" NOT NULL,
    subscription text COLLATE "C" NOT NULL,
    product text COLLATE "C" NOT NULL,
    tier text COLLATE "C",
    seats bigint NOT NULL,
    starts_at bigint NOT NULL,
    ends_at bigint,
    announced_end bigint
);

CREATE INDEX keyfold_stripe_spans_1_account ON keyfold_stripe_spans_1 (account);
