-- oldest program: 8
-- The timeline anew: what happened to a key is its owner's at that moment (projections/lists/timeline_table.py).
-- Disposable.

CREATE TABLE keyfold_timeline_2 (
    ref text COLLATE "C" NOT NULL,  -- its kind and itself, e.g. holder:till-1
    position bigint NOT NULL,  -- of the event
    event text COLLATE "C" NOT NULL,  -- its name without the version, e.g. account.seat_occupied
    actor text COLLATE "C" NOT NULL,
    reseller text COLLATE "C",  -- whose key or batch it happened to, then; null for everything else
    recorded_at bigint NOT NULL,
    occurred_at bigint NOT NULL,
    PRIMARY KEY (ref, position)
);

-- Keys that were given to another reseller, or otherwise amended (projections/lists/batches.py).

CREATE INDEX keyfold_key_list_2_amended ON keyfold_key_list_2 (id)
    WHERE ended_by > 0 AND redeemed_at IS NULL;
