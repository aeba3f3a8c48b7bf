-- Steps of old visits go after a month.

-- Delete the steps of visits that are older than p_keep, but for the last event of each visit: it is where the stream
-- stands. What a job began and ended with stays as long as its visit. Looks at up to p_limit visits after p_after, by id;
-- returns the last of them (null: there are no more) and how many events went. No index on the events' age: it would cost
-- each INSERT, and old events are found by their visits.
CREATE FUNCTION scopekit.prune_events(p_keep interval, p_after uuid, p_limit integer,
                                      OUT last_visit uuid, OUT removed integer) LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    v_visits CONSTANT uuid[] := ARRAY(
        SELECT v.id FROM public.site_visits v
        WHERE v.created_at < now() - p_keep AND (p_after IS NULL OR v.id > p_after) ORDER BY v.id LIMIT p_limit);
BEGIN
    DELETE FROM public.processing_events e USING public.visit_streams s
    WHERE e.visit_id = ANY (v_visits) AND s.visit_id = e.visit_id AND e.seq < s.last_seq
      AND e.type LIKE 'step.%' AND e.created_at < now() - p_keep;
    GET DIAGNOSTICS removed = ROW_COUNT;
    last_visit := v_visits[cardinality(v_visits)];
END $$;
REVOKE ALL ON FUNCTION scopekit.prune_events(interval, uuid, integer) FROM PUBLIC, anon, authenticated, scopekit_gateway,
    service_role;
GRANT EXECUTE ON FUNCTION scopekit.prune_events(interval, uuid, integer) TO service_role;
