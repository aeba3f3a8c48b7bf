-- The runbook's alerts.

-- What the alerts answered when they were last asked: kept for processes that are scraped or started later.
CREATE TABLE public.alerts (
    name       text PRIMARY KEY,
    firing     boolean NOT NULL DEFAULT false,
    value      double precision NOT NULL DEFAULT 0,
    since      timestamptz,  -- the beginning of the present trouble
    notified_at timestamptz,
    checked_at timestamptz,
    CHECK (firing = (since IS NOT NULL))
);
INSERT INTO public.alerts (name) VALUES ('processing_slo'), ('upload_retries'), ('analytics_outbox');

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

-- Alert 3: events that were tried and are still undelivered after an hour, or were refused.
CREATE FUNCTION public.check_analytics_outbox() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM public.jobs_dlq WHERE lane = 'analytics_delivery' AND retried_at IS NULL)
           + (SELECT count(*) FROM public.jobs
              WHERE job_type = 'analytics_delivery' AND status IN ('queued', 'running')
                AND last_error IS NOT NULL AND created_at < now() - interval '1 hour')
$$;

-- Of the jobs completed in the last hour, the time within which 95 of 100 were done; 0 without any.
CREATE FUNCTION scopekit.processing_p95() RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)), 0)
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
$$;

-- Ask every alert and keep the answers. `notify`: it fires since now, or fires still and the last reminder is over
-- p_remind ago. `resolved`: it has just stopped.
CREATE FUNCTION scopekit.check_alerts(p_remind interval)
    RETURNS TABLE (name text, firing boolean, value double precision, since timestamptz, notify boolean,
                   resolved boolean)
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
        notified_at = CASE WHEN asked.firing AND (before.since IS NULL OR before.notified_at <= now() - p_remind)
                           THEN now() ELSE before.notified_at END
    FROM asked JOIN before USING (name) WHERE a.name = asked.name
    RETURNING a.name, a.firing, a.value, a.since, a.firing AND a.notified_at = now(), before.firing AND NOT a.firing
$$;

-- For the gateway, which may not ask: the last answers, and their age (null: never asked).
CREATE FUNCTION scopekit.alert_states()
    RETURNS TABLE (name text, firing boolean, value double precision, age_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.name, a.firing, a.value, extract(epoch FROM clock_timestamp() - a.checked_at)::double precision
    FROM public.alerts AS a ORDER BY a.name
$$;
