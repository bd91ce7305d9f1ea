-- oldest program: 22
-- Names, anew (projections/lists/names.py): they are folded by another rule than before, without accents.
-- Disposable.

CREATE TABLE keyfold_names_2 (
    kind text COLLATE "C" NOT NULL,
    term text COLLATE "C" NOT NULL,  -- the folded name, or the rest of it from a word on
    id text COLLATE "C" NOT NULL,
    is_whole bigint NOT NULL,  -- 1 for the whole name
    position bigint NOT NULL,  -- of the first event that names it
    PRIMARY KEY (kind, term, id)
);
