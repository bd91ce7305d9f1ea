-- oldest program: 22
-- While a restore into this database has not ended, nothing else is recorded in it: the first event is
-- refused, and with it all (ledger/store/unfinished_restore.py). The restore takes its mark back in
-- its own transaction. Only an older program's restore does so too late, and is refused.

CREATE TRIGGER keyfold_events_refuse_in_restore BEFORE INSERT ON keyfold_events
WHEN NEW.rowid = 1 AND EXISTS (SELECT 1 FROM keyfold_projections WHERE projection = 'restore@1')
BEGIN
    SELECT RAISE(ABORT, 'a restore into this database has not ended');
END;
