-- oldest program: 8
-- An append may require that a stream to which it adds nothing is still at a version: it gives the
-- next version of that stream, without a name. Otherwise as before; older programs give no such.

CREATE OR REPLACE FUNCTION keyfold_append(
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
    WHERE event.name IS NOT NULL
        AND (taken IS NULL
            OR event.append <> ALL (ARRAY(SELECT appends[at.n] FROM unnest(taken) AS at (n))));
END
$$;
