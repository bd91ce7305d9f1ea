-- Up to which row of the notices each webhook was told (projections/lists/webhook_notices.py). Until now a bookmark
-- said up to when; an older program, which would read that and begin at 1970, cannot go on with this.

CREATE TABLE keyfold_webhook_notices_1 (
    webhook TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    position INTEGER NOT NULL,
    notice TEXT NOT NULL,  -- its id; empty if everything of the moment was told
    ahead_until INTEGER NOT NULL  -- how far it was when the clock was set back; 0 if it was not
) WITHOUT ROWID;

INSERT INTO keyfold_webhook_notices_1 (webhook, at, position, notice, ahead_until)
SELECT substr(projection, 19), position, 4611686018427387904, '', 0
FROM keyfold_projections WHERE projection LIKE 'webhook_notices@1:%';

DELETE FROM keyfold_projections WHERE projection LIKE 'webhook_notices@1:%';
