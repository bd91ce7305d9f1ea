-- oldest program: 8
-- Which accounts have a subscription of Stripe's on record, and whose it is by its own stream
-- (projections/lists/overview_tables.py). Disposable.

CREATE TABLE keyfold_stripe_held_1 (
    stripe_subscription text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,   -- an account that has it on record; empty in the row of its owner
    account text COLLATE "C" NOT NULL,  -- the holder, or the owner; empty while it is nobody's
    position bigint NOT NULL,  -- of the event that says so
    PRIMARY KEY (stripe_subscription, holder)
);
