-- Every Stripe subscription that Stripe has reported, and whose it is: where reconciling, mapping
-- prices again and billing seats begin to look (projections/lists/stripe_subscriptions.py). Disposable.

CREATE TABLE keyfold_stripe_list_1 (
    position bigint PRIMARY KEY,  -- of the event that first named it
    stripe_subscription text COLLATE "C" NOT NULL UNIQUE,
    customer text COLLATE "C",
    account text COLLATE "C",     -- null while nobody knows whose it is
    unmapped bigint NOT NULL,     -- 1 when a price of it meant nothing when it was reported
    billed bigint NOT NULL        -- 1 when its seats are billed by the number of holders
);

CREATE INDEX keyfold_stripe_list_1_account ON keyfold_stripe_list_1 (account, position);
