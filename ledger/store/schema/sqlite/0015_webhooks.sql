-- oldest program: 8
-- What is sent to webhooks (projections/lists/webhook_queue.py). The messages follow from the ledger; how far
-- they were sent does not: without these tables everything is sent once more.

CREATE TABLE keyfold_webhook_messages_1 (
    webhook TEXT NOT NULL,
    lane TEXT NOT NULL,  -- the account; empty for none, * for tests
    sequence INTEGER NOT NULL,  -- of the lane, from 1
    kind TEXT NOT NULL,
    position INTEGER NOT NULL,  -- of the event that it is about
    notice TEXT,  -- what it tells beside events
    at INTEGER NOT NULL,
    PRIMARY KEY (webhook, lane, sequence)
) WITHOUT ROWID;

CREATE TABLE keyfold_webhook_lanes_1 (
    webhook TEXT NOT NULL,
    lane TEXT NOT NULL,
    sent INTEGER NOT NULL,  -- the sequence of the last message that was taken
    queued INTEGER NOT NULL,  -- of the last that there is
    due_at INTEGER,  -- when the next is tried; null when there is none
    attempts INTEGER NOT NULL,  -- how often it was
    failing_since INTEGER,  -- when it was not taken for the first time
    PRIMARY KEY (webhook, lane)
) WITHOUT ROWID;

CREATE INDEX keyfold_webhook_lanes_1_due ON keyfold_webhook_lanes_1 (webhook, due_at);

CREATE TABLE keyfold_webhook_deliveries_1 (
    webhook TEXT NOT NULL,
    number INTEGER NOT NULL,  -- of the webhook's tries
    message TEXT NOT NULL,
    kind TEXT NOT NULL,
    account TEXT,
    sequence INTEGER NOT NULL,
    position INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    status INTEGER,  -- of the response, if there was one
    problem TEXT,
    next_at INTEGER,
    PRIMARY KEY (webhook, number)
) WITHOUT ROWID;
