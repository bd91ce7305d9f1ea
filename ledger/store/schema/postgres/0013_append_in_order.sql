-- oldest program: 8
-- As before, with less work while everybody waits for the turn. Almost always each event is the next
-- of its stream, or follows the one before it in the same append, and what is required comes after
-- all events: then nothing is taken, and the place of an event is its place in the input. All else,
-- older programs' order as well, goes the long way.

CREATE OR REPLACE FUNCTION keyfold_append(
    streams text[], versions bigint[], names text[], states bytea[], appends integer[],
    earliest double precision, latest double precision,
    OUT head bigint, OUT taken bigint[], OUT reached bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keyfold_refuse_clock(earliest), keyfold_refuse_clock(latest);
    PERFORM keyfold_take_turn();
    SELECT coalesce(max(notification_id), 0) INTO head FROM keyfold_events;
    PERFORM FROM unnest(streams, versions) WITH ORDINALITY AS given (stream, version, n)
    WHERE given.version <> (
            SELECT coalesce(max(originator_version), 0) + 1
            FROM keyfold_events WHERE originator_id = given.stream
        )
        AND (
            streams[given.n - 1], versions[given.n - 1], appends[given.n - 1],
            names[given.n - 1] IS NOT NULL
        ) IS DISTINCT FROM (given.stream, given.version - 1, appends[given.n], true);
    IF NOT FOUND AND cardinality(array_remove(names, NULL))
        = coalesce(array_position(names, NULL) - 1, cardinality(names))
    THEN
        INSERT INTO keyfold_events
        SELECT event.stream, event.version, event.name, event.state, head + event.n
        FROM unnest(streams, versions, names, states)
            WITH ORDINALITY AS event (stream, version, name, state, n)
        WHERE event.name IS NOT NULL;
        RETURN;
    END IF;
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
    WHERE event.name IS NOT NULL
        AND (taken IS NULL
            OR event.append <> ALL (ARRAY(SELECT appends[at.n] FROM unnest(taken) AS at (n))));
END
$$;
