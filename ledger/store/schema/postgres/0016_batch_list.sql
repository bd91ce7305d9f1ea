-- oldest program: 8
-- The list of batches (projections/lists/batches.py). Disposable.

CREATE TABLE keyfold_batch_list_1 (
    reseller_id text COLLATE "C" NOT NULL,  -- whose, folded; empty for everybody's list
    batch text COLLATE "C" NOT NULL,
    position bigint NOT NULL,     -- of the event that began it, or that gave it a key of this reseller
    PRIMARY KEY (reseller_id, batch)
);

CREATE INDEX keyfold_batch_list_1_position ON keyfold_batch_list_1 (reseller_id, position);
