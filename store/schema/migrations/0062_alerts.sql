-- What the alerts said when they were last asked: kept, so that whoever is scraped or started later can tell it too.

CREATE TABLE public.alerts (
    name       text PRIMARY KEY,
    firing     boolean NOT NULL DEFAULT false,
    value      double precision NOT NULL DEFAULT 0,
    since      timestamptz,  -- the beginning of the present trouble
    told_at    timestamptz,
    checked_at timestamptz,
    CHECK (firing = (since IS NOT NULL))
);
ALTER TABLE public.alerts ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.alerts FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.alerts TO service_role;
INSERT INTO public.alerts (name) VALUES ('processing_slo'), ('upload_retries'), ('analytics_outbox');

-- Of the jobs completed in the last hour, the time within which 95 of 100 were done; 0 without any.
CREATE FUNCTION scopekit.processing_p95() RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)), 0)
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
$$;

-- Ask every alert and keep the answers. `tell`: it fires since now, or fires still and was last told over p_remind ago.
-- `over`: it has just stopped.
CREATE FUNCTION scopekit.check_alerts(p_remind interval)
    RETURNS TABLE (name text, firing boolean, value double precision, since timestamptz, tell boolean, over boolean)
    LANGUAGE sql AS $$
    WITH asked (name, firing, value) AS (
        VALUES ('processing_slo', public.check_processing_slo(), scopekit.processing_p95()),
               ('upload_retries', public.check_upload_retries() > 0, public.check_upload_retries()::double precision),
               ('analytics_outbox', public.check_analytics_outbox() > 0,
                public.check_analytics_outbox()::double precision)
    ), before AS (
        SELECT a.* FROM public.alerts AS a ORDER BY a.name FOR UPDATE
    )
    UPDATE public.alerts AS a
    SET firing = asked.firing, value = asked.value, checked_at = now(),
        since = CASE WHEN asked.firing THEN coalesce(before.since, now()) END,
        told_at = CASE WHEN asked.firing AND (before.since IS NULL OR before.told_at <= now() - p_remind) THEN now()
                       ELSE before.told_at END
    FROM asked JOIN before USING (name) WHERE a.name = asked.name
    RETURNING a.name, a.firing, a.value, a.since, a.firing AND a.told_at = now(), before.firing AND NOT a.firing
$$;

-- For the gateway, which may not ask: what was answered, and how long ago (null: never).
CREATE FUNCTION scopekit.alert_states()
    RETURNS TABLE (name text, firing boolean, value double precision, age_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT a.name, a.firing, a.value, extract(epoch FROM clock_timestamp() - a.checked_at)::double precision
    FROM public.alerts AS a ORDER BY a.name
$$;

-- Dead letters of the last seven days, by day and kind of job.
CREATE FUNCTION scopekit.dead_letter_growth()
    RETURNS TABLE (date date, job_type text, failed_count bigint, avg_attempts numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT d.moved_at::date, d.job_type, count(*), round(avg(d.attempts), 2)
    FROM public.ai_jobs_dlq AS d WHERE d.moved_at > now() - interval '7 days'
    GROUP BY 1, 2 ORDER BY 1 DESC, 2
$$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.processing_p95()',        'service_role'),
            ('scopekit.check_alerts(interval)',  'service_role'),
            ('scopekit.alert_states()',          'scopekit_gateway, service_role'),
            ('scopekit.dead_letter_growth()',    'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
