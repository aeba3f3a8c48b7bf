-- The table is the interface: whoever inserts into processing_events reaches every subscriber of the visit.
-- Numbering and telling happen here, in the inserting transaction, so that no writer can forget either.

-- Where a visit's stream stands, so that opening it reads one row: what last happened to a job, and to which.
ALTER TABLE public.visit_streams
    ADD COLUMN job_id    uuid,
    ADD COLUMN job_event text;
-- It is rewritten with every event and has no index on what changes: room on the page keeps that in place.
ALTER TABLE public.visit_streams SET (fillfactor = 50);

-- The event as it goes out, on one line and made once: NOTIFY carries it, a replay repeats it byte for byte, and the
-- relay reads only what stands before the payload. jsonb has no raw line break, no U+0000 (its own input refuses the
-- escape \u0000, so such a payload must be cleaned by its writer) and no lone surrogate.
CREATE FUNCTION scopekit.event_document(p_event public.processing_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"visit_id":"' || p_event.visit_id || '","seq":' || p_event.seq
        || ',"job_id":' || coalesce('"' || p_event.job_id || '"', 'null')
        || ',"type":"' || p_event.type || '","payload":' || p_event.payload
        || ',"created_at":' || coalesce('"' || to_char(p_event.created_at AT TIME ZONE 'UTC',
                                                       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        || '}'
$$;

-- Gives the row the next number of its visit, whatever number it came with, and tells the relays when it commits.
-- The visit's row in visit_streams stays locked to the end of the transaction: numbers are in the order of commits
-- and have no gap. A writer in REPEATABLE READ or SERIALIZABLE may therefore have to repeat its transaction.
CREATE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    c_notify_bytes CONSTANT integer := 7900;  -- NOTIFY takes less than 8,000
    v_of_job       CONSTANT boolean := NEW.type LIKE 'job.%';
    v_document     text;
BEGIN
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, job_event)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN v_of_job THEN NEW.type END)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq  = stream.last_seq + 1,
        job_id    = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        job_event = CASE WHEN v_of_job THEN NEW.type ELSE stream.job_event END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq INTO NEW.seq;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    v_document := scopekit.event_document(NEW);
    IF octet_length(v_document) >= c_notify_bytes THEN
        v_document := '{"visit_id":"' || NEW.visit_id || '","seq":' || NEW.seq || '}';
    END IF;
    PERFORM pg_notify('processing_events', v_document);
    RETURN NEW;
END $$;
-- Triggers fire in the order of their names: after fill_tenant, which finds the tenant.
CREATE TRIGGER number_event BEFORE INSERT ON public.processing_events
    FOR EACH ROW EXECUTE FUNCTION scopekit.number_event();

-- The events after a position, in order: at most p_limit, and at most a megabyte unless the first alone is larger.
CREATE FUNCTION scopekit.events_after(p_visit_id uuid, p_after bigint, p_limit integer)
    RETURNS TABLE (seq bigint, document text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT page.seq, page.document
    FROM (
        SELECT found.seq, found.document,
               sum(octet_length(found.document)) OVER (ORDER BY found.seq) AS bytes,
               row_number() OVER (ORDER BY found.seq) AS number
        FROM (
            SELECT e.seq, scopekit.event_document(e) AS document
            FROM public.processing_events e
            WHERE e.visit_id = p_visit_id AND e.seq > p_after
            ORDER BY e.seq
            LIMIT least(greatest(p_limit, 1), 1000)
        ) AS found
    ) AS page
    WHERE page.bytes <= 1048576 OR page.number = 1
    ORDER BY page.seq
$$;

-- Where streams stand, and whether their tenants may have them; a visit that is gone has no row.
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, job_event text, enabled boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.job_event,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false)
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

-- What a first connection starts from: the position, then what the latest job has done up to there. One statement is
-- one snapshot, so nothing can fall between the two. Each step of this attempt is {status, done, total, ms}.
CREATE FUNCTION scopekit.stream_snapshot(p_visit_id uuid)
    RETURNS TABLE (last_seq bigint, job_id uuid, job_event text, steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    WITH stream AS (
        SELECT s.last_seq, s.job_id, s.job_event FROM public.visit_streams s WHERE s.visit_id = p_visit_id
    ), of_job AS (
        SELECT e.seq, e.type, e.payload FROM public.processing_events e JOIN stream ON stream.job_id = e.job_id
        WHERE e.visit_id = p_visit_id
    ), of_attempt AS (
        SELECT * FROM of_job
        WHERE seq > coalesce((SELECT max(seq) FROM of_job WHERE type IN ('job.queued', 'job.started')), 0)
    ), step AS (
        SELECT payload ->> 'step' AS name,
               jsonb_build_object(
                   'status', CASE WHEN bool_or(type = 'step.completed') THEN 'completed' ELSE 'running' END,
                   'done',  (array_agg(payload -> 'done' ORDER BY seq DESC) FILTER (WHERE payload ? 'done'))[1],
                   'total', (array_agg(payload -> 'total' ORDER BY seq DESC) FILTER (WHERE payload ? 'total'))[1],
                   'ms',    (array_agg(payload -> 'ms' ORDER BY seq DESC) FILTER (WHERE payload ? 'ms'))[1]) AS state
        FROM of_attempt WHERE type LIKE 'step.%' AND payload ->> 'step' IS NOT NULL GROUP BY 1
    )
    SELECT coalesce((SELECT stream.last_seq FROM stream), 0),
           (SELECT stream.job_id FROM stream),
           (SELECT stream.job_event FROM stream),
           coalesce((SELECT jsonb_object_agg(name, state) FROM step), '{}')
$$;

-- Whose a ticket is, once: the row is gone with the answer, and so are all that nobody came for.
CREATE INDEX progress_tickets_expired ON public.progress_tickets (expires_at);
CREATE FUNCTION scopekit.take_ticket(p_hash bytea)
    RETURNS TABLE (tenant_id uuid, visit_id uuid, claims jsonb) LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    WITH swept AS (
        DELETE FROM public.progress_tickets t WHERE t.expires_at < now() - interval '1 minute' AND t.ticket_hash <> p_hash
    ), taken AS (
        DELETE FROM public.progress_tickets t WHERE t.ticket_hash = p_hash RETURNING t.*
    )
    SELECT taken.tenant_id, taken.visit_id, taken.claims FROM taken WHERE taken.expires_at > clock_timestamp()
$$;

-- What ends a stream before its job does: a flag turned off, a member removed. Relays hear of it when it commits.
CREATE FUNCTION scopekit.tell_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'flags', 'tenant_id', NEW.tenant_id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_flags AFTER UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW WHEN (OLD.feature_flags IS DISTINCT FROM NEW.feature_flags) EXECUTE FUNCTION scopekit.tell_flags();

CREATE FUNCTION scopekit.tell_revoked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_notify('scopekit_control', jsonb_build_object(
        'kind', 'revoked', 'tenant_id', OLD.tenant_id, 'user_id', OLD.user_id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_revoked AFTER DELETE ON public.memberships
    FOR EACH ROW EXECUTE FUNCTION scopekit.tell_revoked();

DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOREACH v_function IN ARRAY ARRAY[
        'scopekit.event_document(public.processing_events)', 'scopekit.number_event()',
        'scopekit.events_after(uuid, bigint, integer)', 'scopekit.stream_heads(uuid[])',
        'scopekit.stream_snapshot(uuid)', 'scopekit.take_ticket(bytea)',
        'scopekit.tell_flags()', 'scopekit.tell_revoked()']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION scopekit.events_after(uuid, bigint, integer), scopekit.stream_heads(uuid[]),
                          scopekit.stream_snapshot(uuid), scopekit.take_ticket(bytea) TO scopekit_gateway;
