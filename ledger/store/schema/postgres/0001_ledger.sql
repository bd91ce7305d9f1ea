-- The ledger itself. Positions and versions are the only order there is: see ledger/store/contract.py.

CREATE TABLE keyfold_events (
    originator_id text COLLATE "C" NOT NULL,  -- "C": no upgrade of the system's locales can unsort the index
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    -- The position. No default: only the two functions below know the next one.
    notification_id bigint NOT NULL CHECK (notification_id > 0),
    PRIMARY KEY (originator_id, originator_version),
    UNIQUE (notification_id)
);

-- Append-only, also for a session that sets session_replication_role. The table's owner can still
-- disable the trigger: against that there are checkpoints (ledger/proof/merkle.py), not triggers.

CREATE FUNCTION keyfold_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'feature_not_supported';
END
$$;

CREATE TRIGGER keyfold_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON keyfold_events
FOR EACH STATEMENT EXECUTE FUNCTION keyfold_refuse_change();

ALTER TABLE keyfold_events ENABLE ALWAYS TRIGGER keyfold_events_append_only;

-- Appending. One call is one transaction, in autocommit and READ COMMITTED. It first takes the
-- ledger's turn, an advisory lock that is named after the table and held until the commit; only then
-- does it look at the head and number the events. So positions have no gaps, whoever rolls back, and
-- their order is the order of the commits: what a reader has passed is complete for ever.
-- (LOCK TABLE would do the same, but keeps autovacuum out. A sequence would do neither.)

CREATE FUNCTION keyfold_take_turn() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(1801548390, 'keyfold_events'::regclass::oid::integer)
$$;

-- One event: answers its position, or minus the version that its stream has reached when the
-- version is taken.

CREATE FUNCTION keyfold_append_event(stream text, version bigint, name text, state bytea)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
BEGIN
    PERFORM keyfold_take_turn();
    INSERT INTO keyfold_events
    VALUES (stream, version, name, state,
            (SELECT coalesce(max(notification_id), 0) + 1 FROM keyfold_events))
    ON CONFLICT (originator_id, originator_version) DO NOTHING
    RETURNING notification_id INTO place;
    IF place IS NULL THEN
        SELECT -max(originator_version) INTO place
        FROM keyfold_events WHERE originator_id = stream;
    END IF;
    RETURN place;
END
$$;

-- Several appends in one commit, each all or nothing. The n-th event is streams[n], versions[n], …
-- and belongs to the append appends[n]; no (stream, version) may be there twice. An append of which
-- an event is taken is left out; the events of the others get positions head + 1, head + 2, … in the
-- order of the input. `taken` lists the events that were taken, `reached` their streams' versions.

CREATE FUNCTION keyfold_append(
    streams text[], versions bigint[], names text[], states bytea[], appends integer[],
    OUT head bigint, OUT taken bigint[], OUT reached bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keyfold_take_turn();
    SELECT coalesce(max(notification_id), 0) INTO head FROM keyfold_events;
    SELECT array_agg(event.n ORDER BY event.n) INTO taken
    FROM unnest(streams, versions) WITH ORDINALITY AS event (stream, version, n)
    WHERE EXISTS (
        SELECT FROM keyfold_events
        WHERE originator_id = event.stream AND originator_version = event.version
    );
    IF taken IS NULL THEN
        INSERT INTO keyfold_events
        SELECT event.stream, event.version, event.name, event.state, head + event.n
        FROM unnest(streams, versions, names, states)
            WITH ORDINALITY AS event (stream, version, name, state, n);
    ELSE
        SELECT array_agg((
            SELECT max(originator_version) FROM keyfold_events WHERE originator_id = streams[at.n]
        ) ORDER BY at.n) INTO reached
        FROM unnest(taken) AS at (n);
        INSERT INTO keyfold_events
        SELECT event.stream, event.version, event.name, event.state,
               head + row_number() OVER (ORDER BY event.n)
        FROM unnest(streams, versions, names, states, appends)
            WITH ORDINALITY AS event (stream, version, name, state, append, n)
        WHERE event.append <> ALL (ARRAY(SELECT appends[at.n] FROM unnest(taken) AS at (n)));
    END IF;
END
$$;

-- Keys of sealed free text, which must be destroyable: beside the ledger, outside every proof.

CREATE TABLE keyfold_text_keys (
    owner text COLLATE "C" PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    created_at text NOT NULL
);

-- Which of these files have been applied.

CREATE TABLE keyfold_schema (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL
);
