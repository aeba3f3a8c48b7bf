-- Analytics events, and the outbox by which they leave.
--
-- Invariants
--   1. Whoever inserts into analytics_events enqueues its delivery, in the same transaction.
--   2. An event is handed to one dispatcher at a time, for the length of a lease; `attempts` is that dispatcher's token.
--   3. Its row goes only when the receiver has answered yes. A crash in between delivers it again under the same id, and
--      the receiver recognises it: at least once on the way, once in effect.

-- What happened, for the company's and our own reports.
CREATE TABLE public.analytics_events (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    event       text NOT NULL CHECK (event <> ''),
    properties  jsonb NOT NULL DEFAULT '{}',
    tenant_id   uuid REFERENCES public.tenants,
    user_id     uuid,
    "timestamp" timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_events_of_tenant ON public.analytics_events (tenant_id);
CREATE INDEX analytics_events_recent ON public.analytics_events (event, "timestamp" DESC);

-- Events that are still to be delivered.
CREATE TABLE public.analytics_outbox (
    event_id   uuid PRIMARY KEY REFERENCES public.analytics_events ON DELETE CASCADE,
    attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at     timestamptz NOT NULL DEFAULT now(),
    refused_at timestamptz,  -- the receiver will never take it
    last_error text
);
CREATE INDEX analytics_outbox_due ON public.analytics_outbox (due_at) WHERE refused_at IS NULL;

-- Invariant 1.
CREATE FUNCTION scopekit.enqueue_outbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.analytics_outbox (event_id) SELECT id FROM happened;
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_outbox AFTER INSERT ON public.analytics_events REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.enqueue_outbox();

-- Take up to p_limit events that are due, the longest due first, for p_lease.
CREATE FUNCTION scopekit.claim_outbox(p_limit integer, p_lease interval)
    RETURNS TABLE (id uuid, attempts integer, event text, properties jsonb, tenant_id uuid, user_id uuid,
                   "timestamp" timestamptz)
    LANGUAGE sql AS $$
    WITH taken AS (
        UPDATE public.analytics_outbox AS o SET attempts = o.attempts + 1, due_at = now() + p_lease
        WHERE o.event_id IN (
            SELECT due.event_id FROM public.analytics_outbox AS due WHERE due.refused_at IS NULL AND due.due_at <= now()
            ORDER BY due.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
        RETURNING o.event_id, o.attempts
    )
    SELECT e.id, t.attempts, e.event, e.properties, e.tenant_id, e.user_id, e."timestamp"
    FROM taken AS t JOIN public.analytics_events AS e ON e.id = t.event_id ORDER BY e."timestamp", e.id
$$;

-- How many wait, since when the oldest does, and how many were refused for good.
CREATE FUNCTION scopekit.outbox_state(OUT waiting bigint, OUT oldest_seconds double precision, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE o.refused_at IS NULL),
           coalesce(max(extract(epoch FROM clock_timestamp() - e."timestamp")) FILTER (WHERE o.refused_at IS NULL), 0)
               ::double precision,
           count(*) FILTER (WHERE o.refused_at IS NOT NULL)
    FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id
$$;
