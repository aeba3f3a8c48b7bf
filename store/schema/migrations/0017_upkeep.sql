-- What runs by the clock: chores, each once per tick whichever worker comes first, with Redis or without.

CREATE TABLE public.queue_chores (
    name    text PRIMARY KEY,
    done_at timestamptz NOT NULL
);
ALTER TABLE public.queue_chores ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.queue_chores FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.queue_chores TO service_role;

-- Take a chore for this tick; false when somebody has it already. The row stays locked to the end of the transaction that
-- does the chore: when that fails, the tick is not used up. A tick is a whole multiple of p_every, by the database's clock.
CREATE FUNCTION scopekit.take_chore(p_name text, p_every interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_tick timestamptz := date_bin(p_every, now(), 'epoch');
BEGIN
    INSERT INTO public.queue_chores AS c (name, done_at) VALUES (p_name, now())
    ON CONFLICT (name) DO UPDATE SET done_at = now() WHERE c.done_at < v_tick;
    RETURN FOUND;
END $$;

-- Finished jobs older than p_keep, and checkpoints that no job is left to read. Events stay as long as their visit:
-- a stream's numbers have no gap. Returns how many rows went, at most about p_limit of each kind.
CREATE FUNCTION scopekit.prune(p_keep interval, p_limit integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_jobs  integer;
    v_steps integer;
BEGIN
    DELETE FROM public.ai_jobs WHERE id IN (
        SELECT id FROM public.ai_jobs WHERE status IN ('completed', 'cancelled') AND finished_at < now() - p_keep
        LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_jobs = ROW_COUNT;
    DELETE FROM public.job_steps AS s WHERE s.created_at < now() - p_keep
        AND NOT EXISTS (SELECT FROM public.ai_jobs AS j WHERE j.id = s.job_id)
        AND NOT EXISTS (SELECT FROM public.ai_jobs_dlq AS d
                        WHERE d.original_job_id = s.job_id AND d.retried_at IS NULL);
    GET DIAGNOSTICS v_steps = ROW_COUNT;
    RETURN v_jobs + v_steps;
END $$;

-- The runbook's alerts -----------------------------------------------------------------------------------------------

-- Alert 1: of the jobs completed in the last hour, one in twenty took longer than a minute. None completed: false.
CREATE FUNCTION public.check_processing_slo() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) > 60, false)
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
$$;

-- Alert 2: uploads that failed five times or more, reported in the last hour. What is no number counts for nothing.
CREATE FUNCTION public.check_upload_retries() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM public.visit_sync_events
    WHERE event = 'upload_failed' AND created_at > now() - interval '1 hour'
      AND CASE WHEN payload ->> 'attempts' ~ '^\s*\+?\d{1,18}(\.\d*)?\s*$'
               THEN (payload ->> 'attempts')::numeric >= 5 ELSE false END
$$;

-- Numbers for operators ----------------------------------------------------------------------------------------------

DROP FUNCTION scopekit.queue_depths();
CREATE FUNCTION scopekit.queue_depths()
    RETURNS TABLE (status text, depth bigint, oldest_seconds double precision, average_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT s.status, s.depth, coalesce(greatest(extract(epoch FROM clock_timestamp() - s.oldest), 0), 0),
           coalesce(greatest(extract(epoch FROM clock_timestamp()) - s.average, 0), 0)
    FROM (
        SELECT 'queued' AS status, count(*) AS depth, min(j.created_at) AS oldest,
               avg(extract(epoch FROM j.created_at)) AS average
        FROM public.ai_jobs j WHERE j.status = 'queued'
        UNION ALL
        SELECT 'running', count(*), min(j.started_at), avg(extract(epoch FROM j.started_at))
        FROM public.ai_jobs j WHERE j.status = 'running'
        UNION ALL
        SELECT 'dead', count(*), min(d.moved_at), avg(extract(epoch FROM d.moved_at))
        FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL
    ) AS s
$$;

-- Jobs completed in each minute of the last hour in which there were any, and how long they took.
CREATE FUNCTION scopekit.queue_minutes()
    RETURNS TABLE (minute timestamptz, completed bigint, p50_seconds double precision, p95_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT date_trunc('minute', finished_at), count(*),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
    GROUP BY 1 ORDER BY 1
$$;

-- What each tenant has used. Each number is counted by itself: joined, they would multiply one another.
CREATE FUNCTION scopekit.tenant_usage()
    RETURNS TABLE (tenant_id uuid, name text, visits_today bigint, estimates_today bigint, total_mb numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT t.id, t.name,
           (SELECT count(*) FROM public.site_visits v
            WHERE v.tenant_id = t.id AND v.created_at >= date_trunc('day', now())),
           (SELECT count(*) FROM public.estimates e
            WHERE e.tenant_id = t.id AND e.created_at >= date_trunc('day', now())),
           (SELECT round(coalesce(sum(m.file_size), 0) / 1048576.0, 2) FROM public.site_visit_media m
            WHERE m.tenant_id = t.id)
    FROM public.tenants t ORDER BY t.name, t.id
$$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.take_chore(text, interval)',   'service_role'),
            ('scopekit.prune(interval, integer)',     'service_role'),
            ('public.check_processing_slo()',         'service_role'),
            ('public.check_upload_retries()',         'service_role'),
            ('scopekit.queue_depths()',               'scopekit_gateway, service_role'),
            ('scopekit.queue_minutes()',              'scopekit_gateway, service_role'),
            ('scopekit.tenant_usage()',               'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
