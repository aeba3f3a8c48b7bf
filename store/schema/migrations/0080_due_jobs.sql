-- How long the longest has waited of those that may start: not of jobs whose time is yet to come, which wait on purpose,
-- as they do while their flag is off.
CREATE FUNCTION scopekit.queue_overdue() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(run_at)), 0), 0)
    FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now()
$$;
REVOKE ALL ON FUNCTION scopekit.queue_overdue() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.queue_overdue() TO scopekit_gateway, service_role;
