-- oldest program: 22
-- While a restore into this database has not ended, nothing else is recorded in it: the first event is
-- refused, and with it all (ledger/store/unfinished_restore.py). The restore takes its mark back in
-- its own transaction. Only an older program's restore does so too late, and is refused.

CREATE FUNCTION keyfold_refuse_in_restore() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM keyfold_projections WHERE projection = 'restore@1') THEN
        RAISE EXCEPTION 'a restore into this database has not ended' USING ERRCODE = 'KF002';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER keyfold_events_refuse_in_restore
BEFORE INSERT ON keyfold_events FOR EACH ROW WHEN (NEW.notification_id = 1)
EXECUTE FUNCTION keyfold_refuse_in_restore();

ALTER TABLE keyfold_events ENABLE ALWAYS TRIGGER keyfold_events_refuse_in_restore;
