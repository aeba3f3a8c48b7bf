-- What an operator's graphs may know across tenants: numbers by state, no row. Each state is counted through an index
-- that holds this state alone; finished jobs, of which there is no end, are not counted.
CREATE FUNCTION scopekit.queue_depths() RETURNS TABLE (status text, depth bigint, oldest_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT s.status, s.depth, coalesce(greatest(extract(epoch FROM clock_timestamp() - s.oldest), 0), 0)
    FROM (
        SELECT 'queued' AS status, count(*) AS depth, min(j.created_at) AS oldest
        FROM public.ai_jobs j WHERE j.status = 'queued'
        UNION ALL
        SELECT 'running', count(*), min(j.started_at) FROM public.ai_jobs j WHERE j.status = 'running'
        UNION ALL
        SELECT 'dead', count(*), min(d.moved_at) FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL
    ) AS s
$$;
REVOKE ALL ON FUNCTION scopekit.queue_depths() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.queue_depths() TO scopekit_gateway, service_role;
