-- The ledger's Merkle tree, in tiles of up to 256 hashes (C2SP tlog-tiles): at level 0 the leaves, at
-- each level above the roots of the full tiles below. Filled from the ledger when it is read
-- (projections/audit/tree.py, projection tree@1), and disposable.

CREATE TABLE keyfold_tree_1 (
    level bigint NOT NULL,
    number bigint NOT NULL,  -- from 0 on each level
    hashes bytea NOT NULL,   -- 32 bytes each, one after the other
    PRIMARY KEY (level, number)
);

-- Hashes do not compress: not even to be tried.

ALTER TABLE keyfold_tree_1 ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Every checkpoint that was ever signed, so that none is signed that contradicts another. Not
-- disposable, and not part of the ledger.

CREATE TABLE keyfold_signed_checkpoints (
    size bigint NOT NULL,
    signers text COLLATE "C" NOT NULL,  -- the ids of the keys, e.g. 530d903a,c74f20a3
    root bytea NOT NULL,
    note text NOT NULL,
    signed_at text NOT NULL,
    PRIMARY KEY (size, signers)
);

CREATE TRIGGER keyfold_signed_checkpoints_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON keyfold_signed_checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION keyfold_refuse_change();

ALTER TABLE keyfold_signed_checkpoints
    ENABLE ALWAYS TRIGGER keyfold_signed_checkpoints_append_only;
