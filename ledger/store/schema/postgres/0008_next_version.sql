-- oldest program: 7
-- Of each stream only the next version can be appended: a version that is taken is refused, and one
-- that would leave a hole, too. And nobody appends whose clock is more than a minute from this
-- server's own; `clock` is the writer's, in seconds since 1970, null where none is to be compared.

CREATE FUNCTION keyfold_refuse_clock(clock double precision) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ahead double precision := clock - extract(epoch FROM clock_timestamp());
BEGIN
    IF abs(ahead) > 60 THEN
        RAISE EXCEPTION 'the writer''s clock is % seconds from the database''s', round(ahead)
            USING ERRCODE = 'KF001';
    END IF;
END
$$;

-- One event: answers its position, or minus the version that its stream has reached when that is
-- not the one before.

CREATE FUNCTION keyfold_append_event(
    stream text, version bigint, name text, state bytea, clock double precision
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
BEGIN
    PERFORM keyfold_refuse_clock(clock);
    PERFORM keyfold_take_turn();
    INSERT INTO keyfold_events
    SELECT stream, version, name, state,
           (SELECT coalesce(max(notification_id), 0) + 1 FROM keyfold_events)
    WHERE version = (
        SELECT coalesce(max(originator_version), 0) + 1
        FROM keyfold_events WHERE originator_id = stream
    )
    RETURNING notification_id INTO place;
    IF place IS NULL THEN
        SELECT -coalesce(max(originator_version), 0) INTO place
        FROM keyfold_events WHERE originator_id = stream;
    END IF;
    RETURN place;
END
$$;

-- Several appends in one commit, as before. `taken` lists the events whose version is not the next
-- of its stream, counted within their own append; `reached` their streams' versions.

CREATE FUNCTION keyfold_append(
    streams text[], versions bigint[], names text[], states bytea[], appends integer[],
    earliest double precision, latest double precision,
    OUT head bigint, OUT taken bigint[], OUT reached bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keyfold_refuse_clock(earliest), keyfold_refuse_clock(latest);
    PERFORM keyfold_take_turn();
    SELECT coalesce(max(notification_id), 0) INTO head FROM keyfold_events;
    SELECT array_agg(event.n ORDER BY event.n), array_agg(event.known ORDER BY event.n)
    INTO taken, reached
    FROM (
        SELECT given.n, given.version,
            (SELECT coalesce(max(originator_version), 0)
             FROM keyfold_events WHERE originator_id = given.stream) AS known,
            row_number() OVER (PARTITION BY given.append, given.stream ORDER BY given.n) AS rank
        FROM unnest(streams, versions, appends)
            WITH ORDINALITY AS given (stream, version, append, n)
    ) AS event
    WHERE event.version <> event.known + event.rank;
    INSERT INTO keyfold_events
    SELECT event.stream, event.version, event.name, event.state,
           head + row_number() OVER (ORDER BY event.n)
    FROM unnest(streams, versions, names, states, appends)
        WITH ORDINALITY AS event (stream, version, name, state, append, n)
    WHERE taken IS NULL
        OR event.append <> ALL (ARRAY(SELECT appends[at.n] FROM unnest(taken) AS at (n)));
END
$$;

-- Programs of before append by the same rule.

CREATE OR REPLACE FUNCTION keyfold_append_event(stream text, version bigint, name text, state bytea)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN keyfold_append_event(stream, version, name, state, NULL);
END
$$;

CREATE OR REPLACE FUNCTION keyfold_append(
    streams text[], versions bigint[], names text[], states bytea[], appends integer[],
    OUT head bigint, OUT taken bigint[], OUT reached bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.head, a.taken, a.reached INTO head, taken, reached
    FROM keyfold_append(streams, versions, names, states, appends, NULL, NULL) AS a;
END
$$;
