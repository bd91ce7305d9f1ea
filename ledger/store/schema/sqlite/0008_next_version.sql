-- oldest program: 7
-- Of each stream only the next version can be given: a version that is taken is refused, and one
-- that would leave a hole, too.

DROP TRIGGER keyfold_events_refuse_taken_version;

CREATE TRIGGER keyfold_events_refuse_other_version BEFORE INSERT ON keyfold_events
WHEN NEW.originator_version IS NOT (
    SELECT coalesce(max(originator_version), 0) + 1 FROM keyfold_events
    WHERE originator_id = NEW.originator_id
)
BEGIN
    SELECT RAISE(ABORT, 'keyfold_events is append-only: the next version of the stream must be given');
END;
