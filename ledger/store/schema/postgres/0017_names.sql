-- oldest program: 8
-- What accounts, resellers, keys, batches and holders are called, folded, so that they are found by a
-- beginning (projections/lists/names.py). Disposable.

CREATE TABLE keyfold_names_1 (
    kind text COLLATE "C" NOT NULL,
    term text COLLATE "C" NOT NULL,  -- the folded name, or the rest of it from a word on
    id text COLLATE "C" NOT NULL,
    is_whole bigint NOT NULL,  -- 1 for the whole name
    position bigint NOT NULL,  -- of the first event that names it
    PRIMARY KEY (kind, term, id)
);
