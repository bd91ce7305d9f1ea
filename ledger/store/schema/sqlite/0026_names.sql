-- oldest program: 22
-- Names, anew (projections/lists/names.py): they are folded by another rule than before, without accents.
-- Disposable.

CREATE TABLE keyfold_names_2 (
    kind TEXT NOT NULL,
    term TEXT NOT NULL,  -- the folded name, or the rest of it from a word on
    id TEXT NOT NULL,
    is_whole INTEGER NOT NULL,  -- 1 for the whole name
    position INTEGER NOT NULL,  -- of the first event that names it
    PRIMARY KEY (kind, term, id)
) WITHOUT ROWID;
