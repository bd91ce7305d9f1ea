-- oldest program: 8
-- What names an account at Stripe and can be given to one, anew (projections/lists/overview_tables.py). Disposable.
-- The table before also has objects that nobody can give to an account.

CREATE TABLE keyfold_stripe_claims_2 (
    object TEXT NOT NULL,
    why TEXT NOT NULL,       -- claimed or unproven
    claimed_by TEXT NOT NULL,  -- the account that it names; empty where that is not kept
    position INTEGER NOT NULL,  -- of the event that says so
    PRIMARY KEY (object, why, claimed_by)
) WITHOUT ROWID;
