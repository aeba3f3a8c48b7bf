-- Photos' JPEGs and all periodic tasks are jobs: their lists of their own go.

DROP FUNCTION scopekit.claim_periodic_task(text, interval);

-- A worker is to make the JPEGs of a new photo, whoever inserts its row.
CREATE OR REPLACE FUNCTION scopekit.enqueue_derivatives() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.jobs (job_type, tenant_id, visit_id, payload)
    VALUES ('photo_jpegs', NEW.tenant_id, NEW.visit_id, jsonb_build_object('media_id', NEW.id));
    RETURN NULL;
END $$;

-- Queue one job of each of these periodic kinds, [{name, every, since}, ...], whose tick has come since the last one was
-- queued. A tick is a whole multiple of `every` from `since` on, by the database's clock: any number of workers queue it
-- once, and however many have passed with none there, one job catches them up. Returns how many jobs.
CREATE FUNCTION scopekit.queue_ticks(p_kinds jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_kind  record;
    v_count integer := 0;
BEGIN
    FOR v_kind IN SELECT * FROM jsonb_to_recordset(p_kinds) AS k(name text, every interval, since timestamptz)
                  ORDER BY name LOOP
        INSERT INTO public.periodic_tasks AS t (name, done_at) VALUES (v_kind.name, now())
        ON CONFLICT (name) DO UPDATE SET done_at = now()
        WHERE t.done_at < date_bin(v_kind.every, now(), v_kind.since);
        IF FOUND THEN
            INSERT INTO public.jobs (job_type) VALUES (v_kind.name) ON CONFLICT DO NOTHING;
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;

REVOKE ALL ON FUNCTION scopekit.queue_ticks(jsonb) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.queue_ticks(jsonb) TO service_role;

INSERT INTO public.job_kinds (name, subject, lane, speaks, ends_stream, unique_by, max_attempts, retention) VALUES
    ('photo_jpegs', 'visit', 'photo_jpegs', false, false, NULL, NULL, '1 h');
INSERT INTO public.jobs (job_type, tenant_id, visit_id, payload)
SELECT 'photo_jpegs', m.tenant_id, m.visit_id, jsonb_build_object('media_id', m.id)
FROM public.derivative_queue AS d JOIN public.site_visit_media AS m ON m.id = d.media_id WHERE d.tries < 3;
DROP TABLE public.derivative_queue;
