-- A number is given once, over crashes too. A commit that does not wait for its flush (synchronous_commit off, as
-- progress has it) is told to the relays at once, and a crash may take it back: visit_streams then stands behind what
-- clients have seen, and numbers given again would be passed over by whoever has seen them. So after a crash the numbers
-- of each visit leap, once, over any that may have been seen.
--
-- How a crash shows: an unlogged sequence is back in its initial state after crash recovery, and on a promoted standby
-- or a restored base backup, where commits may be missing just so; a clean stop keeps it. It has a new value, the time in
-- microseconds, from the first event after that; each stream has in `epoch` the value it was last written under.
CREATE UNLOGGED SEQUENCE scopekit.stream_epoch;
SELECT setval('scopekit.stream_epoch', 1);

-- What was told in vain, if anything was, has numbers from torn_after + 1 up to torn_after + 2^20.
ALTER TABLE public.visit_streams
    ADD COLUMN epoch      bigint NOT NULL DEFAULT 1,
    ADD COLUMN torn_after bigint;

-- Moves a stream to this epoch and returns the next number. More than 2^20 events of one visit cannot be lost:
-- wal_writer_delay is at most 10 s, three of which may be missing, and the database takes 19,000 events a second.
-- The commit waits for its flush: were this undone by another crash, the numbers after the leap would be given twice.
CREATE FUNCTION scopekit.tear_stream(p_visit_id uuid, p_epoch bigint) RETURNS bigint LANGUAGE sql
    SET search_path = pg_catalog, public AS $$
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
    UPDATE public.visit_streams SET torn_after = last_seq - 1, last_seq = last_seq + 1048576, epoch = p_epoch
    WHERE visit_id = p_visit_id
    RETURNING last_seq
$$;

CREATE OR REPLACE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    c_notify_bytes CONSTANT integer := 7900;  -- NOTIFY takes less than 8,000
    v_of_job       CONSTANT boolean := NEW.type LIKE 'job.%';
    v_epoch        bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_written      bigint;
    v_document     text;
BEGIN
    IF v_epoch IS NULL THEN  -- two who come here at once make two epochs, and a few streams leap twice
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN v_of_job THEN NEW.type END, v_epoch)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq  = stream.last_seq + 1,
        job_id    = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        job_event = CASE WHEN v_of_job THEN NEW.type ELSE stream.job_event END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq, stream.epoch INTO NEW.seq, v_written;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_written <> v_epoch OR (NEW.seq = 1 AND v_epoch > 1 AND EXISTS (  -- the crash may have taken the whole stream
        SELECT 1 FROM public.site_visits v
        WHERE v.id = NEW.visit_id AND v.created_at < to_timestamp(v_epoch / 1000000.0))) THEN
        NEW.seq := scopekit.tear_stream(NEW.visit_id, v_epoch);
    END IF;
    v_document := scopekit.event_document(NEW);
    IF octet_length(v_document) >= c_notify_bytes THEN
        v_document := '{"visit_id":"' || NEW.visit_id || '","seq":' || NEW.seq || '}';
    END IF;
    PERFORM pg_notify('processing_events', v_document);
    RETURN NEW;
END $$;

-- Where streams stand and were torn, and whether their tenants may have them; a visit that is gone has no row.
DROP FUNCTION scopekit.stream_heads(uuid[]);
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, job_event text, enabled boolean, torn_after bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.job_event,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false), s.torn_after
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

-- What streams are opened with, in one round trip: whether this tenant has streams, whether the visit is its own, where
-- the visit's stream stands and was torn and, when asked for, what its latest job has done up to there. A row for each
-- visit asked for. The tenant is the verified token's; the comparison is the one that the policy of_own_tenant makes.
-- With a user, the first row has the tenant's members as well, 500 at most, this user before all others.
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, torn_after bigint, job_id uuid,
                   job_event text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0), s.torn_after, s.job_id, s.job_event,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

-- Which of these users are no member of the tenant named beside them: what a relay that was deaf for a while asks.
CREATE FUNCTION scopekit.strangers(p_tenant_ids uuid[], p_user_ids uuid[])
    RETURNS TABLE (tenant_id uuid, user_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT asked.tenant_id, asked.user_id FROM unnest(p_tenant_ids, p_user_ids) AS asked (tenant_id, user_id)
    WHERE NOT EXISTS (SELECT 1 FROM public.memberships m
                      WHERE m.tenant_id = asked.tenant_id AND m.user_id = asked.user_id)
$$;

DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOREACH v_function IN ARRAY ARRAY[
        'scopekit.tear_stream(uuid, bigint)', 'scopekit.stream_heads(uuid[])',
        'scopekit.open_streams(uuid, uuid, uuid[], boolean)', 'scopekit.strangers(uuid[], uuid[])']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION scopekit.stream_heads(uuid[]), scopekit.open_streams(uuid, uuid, uuid[], boolean),
                          scopekit.strangers(uuid[], uuid[]) TO scopekit_gateway;
