-- Analytics leave through an outbox: an event is owed from the transaction that wrote it until its delivery is known.
--
--   1. Whoever inserts into analytics_events owes its delivery, in the same transaction.
--   2. It is handed to one courier at a time, for the length of a lease; `attempts` is that courier's token.
--   3. It goes only when the receiver has answered yes. A crash in between delivers it again under the same id, which
--      is the receiver's to know: at least once on the way, once in effect.

CREATE TABLE public.analytics_outbox (
    event_id   uuid PRIMARY KEY REFERENCES public.analytics_events ON DELETE CASCADE,
    attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at     timestamptz NOT NULL DEFAULT now(),
    refused_at timestamptz,  -- the receiver will never take it
    last_error text
);
CREATE INDEX analytics_outbox_due ON public.analytics_outbox (due_at) WHERE refused_at IS NULL;
ALTER TABLE public.analytics_outbox ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.analytics_outbox FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.analytics_outbox TO service_role;

CREATE FUNCTION scopekit.owe_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.analytics_outbox (event_id) SELECT id FROM happened;
    RETURN NULL;
END $$;
CREATE TRIGGER owe_delivery AFTER INSERT ON public.analytics_events REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.owe_delivery();

-- Take up to p_limit events that are due, the longest due first, for p_lease.
CREATE FUNCTION scopekit.take_analytics(p_limit integer, p_lease interval)
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

-- What waits, since when the oldest does, and what was refused for good.
CREATE FUNCTION scopekit.outbox_state(OUT waiting bigint, OUT oldest_seconds double precision, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT count(*) FILTER (WHERE o.refused_at IS NULL),
           coalesce(max(extract(epoch FROM clock_timestamp() - e."timestamp")) FILTER (WHERE o.refused_at IS NULL), 0)
               ::double precision,
           count(*) FILTER (WHERE o.refused_at IS NOT NULL)
    FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id
$$;

-- Alert 3: events that were tried and still owe their delivery after an hour, or were refused.
CREATE FUNCTION public.check_analytics_outbox() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id
    WHERE o.refused_at IS NOT NULL OR (o.attempts > 0 AND e."timestamp" < now() - interval '1 hour')
$$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.owe_delivery()',                      'service_role'),
            ('scopekit.take_analytics(integer, interval)',   'service_role'),
            ('public.check_analytics_outbox()',              'service_role'),
            ('scopekit.outbox_state()',                      'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
