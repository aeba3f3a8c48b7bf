-- What the health check may know across tenants: two numbers, no row.

CREATE FUNCTION scopekit.queue_health(OUT depth bigint, OUT last_job_success timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT (SELECT count(*) FROM public.ai_jobs WHERE status = 'queued'),
           (SELECT max(finished_at) FROM public.ai_jobs WHERE status = 'completed')
$$;
REVOKE ALL ON FUNCTION scopekit.queue_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.queue_health() TO scopekit_gateway, service_role;
