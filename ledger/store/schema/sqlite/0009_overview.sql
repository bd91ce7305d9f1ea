-- oldest program: 8
-- What the overview tells over all accounts, anew (projections/lists/overview_tables.py). Disposable. In the list
-- of subscriptions before, one that was ended by a clock that was ahead had not ended yet.

CREATE TABLE keyfold_subscription_list_2 (
    position INTEGER PRIMARY KEY,  -- of the event that activated it
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    tier TEXT,
    seats INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
);

CREATE INDEX keyfold_subscription_list_2_ends ON keyfold_subscription_list_2 (ends_at, started_at);

-- Objects of Stripe's that name an account which is not theirs (docs/adr/0015).

CREATE TABLE keyfold_stripe_claims_1 (
    object TEXT NOT NULL,
    why TEXT NOT NULL,       -- claimed or unproven
    claimed_by TEXT NOT NULL,  -- the account that it names; empty where that is not kept
    position INTEGER NOT NULL,  -- of the event that says so
    PRIMARY KEY (object, why, claimed_by)
) WITHOUT ROWID;
