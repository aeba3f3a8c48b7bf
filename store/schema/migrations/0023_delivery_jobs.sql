-- Analytics events are delivered by jobs: the outbox of their own goes.

INSERT INTO public.job_kinds (name, subject, lane, speaks, ends_stream, unique_by, max_attempts, retention) VALUES
    ('analytics_delivery', 'none', 'analytics_delivery', false, false, NULL, 25, '1 h');
DROP TRIGGER enqueue_outbox ON public.analytics_events;
DROP FUNCTION scopekit.enqueue_outbox();
DROP FUNCTION scopekit.claim_outbox(integer, interval);

-- Alert 3: events that were tried and are still undelivered after an hour, or were refused.
CREATE OR REPLACE FUNCTION public.check_analytics_outbox() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT count(*) FROM public.jobs_dlq WHERE lane = 'analytics_delivery' AND retried_at IS NULL)
           + (SELECT count(*) FROM public.jobs
              WHERE job_type = 'analytics_delivery' AND status IN ('queued', 'running')
                AND last_error IS NOT NULL AND created_at < now() - interval '1 hour')
$$;

-- Invariant 1.
CREATE FUNCTION scopekit.enqueue_deliveries() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.jobs (job_type, tenant_id, payload)
    SELECT 'analytics_delivery', tenant_id, jsonb_build_object('event_id', id) FROM happened;
    RETURN NULL;
END $$;

-- How many wait, since when the oldest does, and how many were refused for good.
CREATE OR REPLACE FUNCTION scopekit.outbox_state(OUT waiting bigint, OUT oldest_seconds double precision, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - created_at)), 0)::double precision,
           (SELECT count(*) FROM public.jobs_dlq WHERE lane = 'analytics_delivery' AND retried_at IS NULL)
    FROM public.jobs WHERE job_type = 'analytics_delivery' AND status IN ('queued', 'running')
$$;

REVOKE ALL ON FUNCTION scopekit.enqueue_deliveries() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.enqueue_deliveries() TO service_role;

CREATE TRIGGER enqueue_deliveries AFTER INSERT ON public.analytics_events REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.enqueue_deliveries();
INSERT INTO public.jobs (job_type, tenant_id, payload)
SELECT 'analytics_delivery', e.tenant_id, jsonb_build_object('event_id', e.id)
FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id WHERE o.refused_at IS NULL;
DROP TABLE public.analytics_outbox;
