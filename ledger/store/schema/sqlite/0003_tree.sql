-- The ledger's Merkle tree, in tiles of up to 256 hashes (C2SP tlog-tiles): at level 0 the leaves, at
-- each level above the roots of the full tiles below. Filled from the ledger when it is read
-- (projections/audit/tree.py, projection tree@1), and disposable.

CREATE TABLE keyfold_tree_1 (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,  -- from 0 on each level
    hashes BLOB NOT NULL,     -- 32 bytes each, one after the other
    PRIMARY KEY (level, number)
);

-- Every checkpoint that was ever signed, so that none is signed that contradicts another. Not
-- disposable, and not part of the ledger.

CREATE TABLE keyfold_signed_checkpoints (
    size INTEGER NOT NULL,
    signers TEXT NOT NULL,    -- the ids of the keys, e.g. 530d903a,c74f20a3
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    signed_at TEXT NOT NULL,
    PRIMARY KEY (size, signers)
) WITHOUT ROWID;

CREATE TRIGGER keyfold_signed_checkpoints_refuse_update
BEFORE UPDATE ON keyfold_signed_checkpoints BEGIN
    SELECT RAISE(ABORT, 'keyfold_signed_checkpoints is append-only: UPDATE is refused');
END;

CREATE TRIGGER keyfold_signed_checkpoints_refuse_delete
BEFORE DELETE ON keyfold_signed_checkpoints BEGIN
    SELECT RAISE(ABORT, 'keyfold_signed_checkpoints is append-only: DELETE is refused');
END;
