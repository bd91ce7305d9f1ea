-- oldest program: 8
-- What is sent to webhooks (projections/lists/webhook_queue.py). The messages follow from the ledger; how far
-- they were sent does not: without these tables everything is sent once more.

CREATE TABLE keyfold_webhook_messages_1 (
    webhook text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,  -- the account; empty for none, * for tests
    sequence bigint NOT NULL,  -- of the lane, from 1
    kind text COLLATE "C" NOT NULL,
    position bigint NOT NULL,  -- of the event that it is about
    notice text COLLATE "C",  -- what it tells beside events
    at bigint NOT NULL,
    PRIMARY KEY (webhook, lane, sequence)
);

CREATE TABLE keyfold_webhook_lanes_1 (
    webhook text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    sent bigint NOT NULL,  -- the sequence of the last message that was taken
    queued bigint NOT NULL,  -- of the last that there is
    due_at bigint,  -- when the next is tried; null when there is none
    attempts bigint NOT NULL,  -- how often it was
    failing_since bigint,  -- when it was not taken for the first time
    PRIMARY KEY (webhook, lane)
);

CREATE INDEX keyfold_webhook_lanes_1_due ON keyfold_webhook_lanes_1 (webhook, due_at);

CREATE TABLE keyfold_webhook_deliveries_1 (
    webhook text COLLATE "C" NOT NULL,
    number bigint NOT NULL,  -- of the webhook's tries
    message text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C",
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    attempt bigint NOT NULL,
    at bigint NOT NULL,
    took_ms bigint NOT NULL,
    status bigint,  -- of the response, if there was one
    problem text COLLATE "C",
    next_at bigint,
    PRIMARY KEY (webhook, number)
);
