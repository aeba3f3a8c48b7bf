-- Analytics events, and the jobs that deliver them.
--
-- Invariants
--   1. Whoever inserts into analytics_events queues its delivery, in the same transaction.
--   2. A delivery completes only when the receiver has answered yes. A crash in between delivers the event again under the
--      same id, and the receiver recognises it: at least once on the way, once in effect.

-- What happened, for the company's and our own reports.
CREATE TABLE public.analytics_events (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    event       text NOT NULL CHECK (event <> ''),
    properties  jsonb NOT NULL DEFAULT '{}',
    tenant_id   uuid,  -- no key: a completion would wait for whoever holds the tenant, and all of its batch
    user_id     uuid,
    "timestamp" timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_events_of_tenant ON public.analytics_events (tenant_id);
CREATE INDEX analytics_events_recent ON public.analytics_events (event, "timestamp" DESC);

-- Invariant 1.
CREATE FUNCTION scopekit.enqueue_deliveries() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.jobs (job_type, tenant_id, payload)
    SELECT 'analytics_delivery', tenant_id, jsonb_build_object('event_id', id) FROM happened;
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_deliveries AFTER INSERT ON public.analytics_events REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.enqueue_deliveries();

-- How many wait, since when the oldest does, and how many were refused for good.
CREATE FUNCTION scopekit.outbox_state(OUT waiting bigint, OUT oldest_seconds double precision, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*), coalesce(max(extract(epoch FROM clock_timestamp() - created_at)), 0)::double precision,
           (SELECT count(*) FROM public.jobs_dlq WHERE lane = 'analytics_delivery' AND retried_at IS NULL)
    FROM public.jobs WHERE job_type = 'analytics_delivery' AND status IN ('queued', 'running')
$$;
