-- The event bus behind a transaction that writes for minutes, and in a database that was restored from a dump.

-- Otherwise as in 0090. What a snapshot did not show is all from its end on, and who was running in it: so nothing that
-- was told is looked at again, however long an open transaction keeps it from being cleared. What no transaction of this
-- database has written yet came with a dump.
CREATE OR REPLACE FUNCTION scopekit.committed_since(p_since pg_snapshot, p_limit integer)
    RETURNS TABLE (snapshot pg_snapshot, words text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT pg_current_snapshot(),
           coalesce(array_agg(scopekit.event_word(visit_id, seq, document) ORDER BY seq), '{}')
    FROM (
        SELECT e.visit_id, e.seq, scopekit.event_document(e) AS document
        FROM (
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact >= pg_snapshot_xmax(p_since) AND xact < pg_snapshot_xmax(pg_current_snapshot())
            UNION ALL
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact = ANY (ARRAY(SELECT pg_snapshot_xip(p_since)))
        ) AS o JOIN public.processing_events e ON e.visit_id = o.visit_id AND e.seq = o.seq
        LIMIT p_limit
    ) AS found
$$;

-- Otherwise as in 0090. What has heaped up is cleared piece by piece: the carrier waits 2 s for an answer, not longer.
CREATE OR REPLACE FUNCTION scopekit.tend_bus(p_since pg_snapshot) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM scopekit.event_outbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM scopekit.event_outbox WHERE xact < pg_snapshot_xmin(p_since) LIMIT 50000));
    IF pg_sequence_last_value('scopekit.notify_way') IS DISTINCT FROM 2
       AND pg_try_advisory_xact_lock(hashtextextended('scopekit listeners', 0)) THEN
        PERFORM setval('scopekit.notify_way', 2);
    END IF;
END $$;

-- Otherwise as in 0090. A dump brings the sequences along, and not the count of transactions: a number that this
-- database has not come to is another's, and who waited for it would wait for ever.
CREATE OR REPLACE FUNCTION scopekit.open_way(p_way regclass) RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_opened CONSTANT bigint := pg_sequence_last_value(p_way);
BEGIN
    IF v_opened > 3 AND v_opened < pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN v_opened;
    END IF;
    PERFORM setval(p_way, 3);  -- whoever finds it so, because this session ended here, opens it once more
    RETURN setval(p_way, pg_current_xact_id()::text::bigint);
END $$;
