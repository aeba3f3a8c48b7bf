-- The queue by kind, for operators.

-- The jobs of each kind that are not over: due and waiting, for later, running, and dead letters that wait.
CREATE FUNCTION scopekit.queue_kinds()
    RETURNS TABLE (job_type text, waiting bigint, later bigint, running bigint, dead bigint, oldest_seconds double precision,
                   paused boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH active AS (
        SELECT j.job_type, count(*) FILTER (WHERE j.status = 'queued' AND j.run_at <= now()) AS waiting,
               count(*) FILTER (WHERE j.status = 'queued' AND j.run_at > now()) AS later,
               count(*) FILTER (WHERE j.status = 'running') AS running,
               min(j.run_at) FILTER (WHERE j.status = 'queued' AND j.run_at <= now()) AS oldest
        FROM public.jobs AS j WHERE j.status IN ('queued', 'running') GROUP BY 1
    ), letters AS (
        SELECT d.job_type, count(*) AS dead FROM public.jobs_dlq AS d WHERE d.retried_at IS NULL GROUP BY 1
    ), names AS (
        SELECT name FROM public.job_kinds UNION SELECT a.job_type FROM active AS a UNION SELECT l.job_type FROM letters AS l
    )
    SELECT n.name, coalesce(a.waiting, 0), coalesce(a.later, 0), coalesce(a.running, 0), coalesce(l.dead, 0),
           coalesce(extract(epoch FROM clock_timestamp() - a.oldest), 0)::double precision,
           scopekit.paused_types() && ARRAY['all', n.name]
    FROM names AS n LEFT JOIN active AS a ON a.job_type = n.name LEFT JOIN letters AS l ON l.job_type = n.name
    ORDER BY a.waiting DESC NULLS LAST, a.running DESC NULLS LAST, n.name
$$;

REVOKE ALL ON FUNCTION scopekit.queue_kinds() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.queue_kinds() TO scopekit_gateway, service_role;
