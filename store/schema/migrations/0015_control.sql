-- Switches of the queue, kept in queue_control, one row a name: a job type, `all`, or an engine's breaker
-- (`engine:openai`). A pause may end by itself at `until`.
--
-- A breaker is open while its row is paused and `until` lies ahead: then no job is claimed that names the engine. When
-- `until` has passed it is half open: claims go on with one job at a time, the probe. A probe that completes closes it
-- (the row goes); one that fails in the same way opens it again for longer.
ALTER TABLE public.queue_control ADD COLUMN opened integer NOT NULL DEFAULT 0 CHECK (opened >= 0);

CREATE FUNCTION scopekit.pause_queue(p_name text, p_reason text DEFAULT '', p_until timestamptz DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until) VALUES (p_name, true, p_reason, p_until)
    ON CONFLICT (name) DO UPDATE SET paused = true, reason = excluded.reason, until = excluded.until, updated_at = now();
END $$;

-- Resuming what is not paused changes nothing; workers are told, so that they do not wait for their next look.
CREATE FUNCTION scopekit.resume_queue(p_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_found boolean;
BEGIN
    DELETE FROM public.queue_control WHERE name = p_name;
    v_found := FOUND;
    PERFORM pg_notify('scopekit_queue', '');
    RETURN v_found;
END $$;

-- Everything that is or was paused and not resumed: open, half_open (a breaker whose time is over) or over.
CREATE FUNCTION scopekit.queue_switches()
    RETURNS TABLE (name text, state text, reason text, until timestamptz) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT c.name,
           CASE WHEN c.until IS NULL OR c.until > now() THEN CASE WHEN c.name LIKE 'engine:%' THEN 'open' ELSE 'paused' END
                WHEN c.name LIKE 'engine:%' THEN 'half_open' ELSE 'over' END,
           c.reason, c.until
    FROM public.queue_control AS c WHERE c.paused ORDER BY c.name
$$;

-- Open an engine's breaker: for p_base, and twice as long each time it opens again before a probe has succeeded, up to an
-- hour. While it is open already (several jobs failed at once) nothing changes. Returns when it may be tried again.
CREATE FUNCTION scopekit.open_breaker(p_engine text, p_reason text, p_base interval) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until, opened)
    VALUES ('engine:' || p_engine, true, p_reason, now() + p_base, 1)
    ON CONFLICT (name) DO UPDATE
        SET until = now() + least(p_base * power(2, least(c.opened, 10)), greatest(p_base, interval '1 h')),
            opened = c.opened + 1, paused = true, reason = excluded.reason, updated_at = now()
        WHERE c.until <= now() OR NOT c.paused;
    SELECT until INTO v_until FROM public.queue_control WHERE name = 'engine:' || p_engine;
    RETURN v_until;
END $$;

-- The probe has completed: whatever was wrong is over. A job that completes while the breaker is open proves nothing, as
-- it may have asked the engine before.
CREATE FUNCTION scopekit.close_breaker(p_engine text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM public.queue_control WHERE name = 'engine:' || p_engine AND until <= now())
           AND scopekit.resume_queue('engine:' || p_engine);
END $$;

-- How many jobs may be claimed at a time as far as this engine goes: null any number, 0 no estimate, 1 the probe.
CREATE FUNCTION scopekit.engine_room(p_engine text) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_until timestamptz;
BEGIN
    SELECT coalesce(until, 'infinity') INTO v_until FROM public.queue_control
    WHERE name = 'engine:' || p_engine AND paused;
    RETURN CASE WHEN NOT FOUND THEN NULL
                WHEN v_until > now() OR EXISTS (
                    SELECT FROM public.ai_jobs WHERE status = 'running' AND job_type = 'estimate') THEN 0
                ELSE 1 END;
END $$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.pause_queue(text, text, timestamptz)',      'service_role'),
            ('scopekit.resume_queue(text)',                        'service_role'),
            ('scopekit.queue_switches()',                          'scopekit_gateway, service_role'),
            ('scopekit.open_breaker(text, text, interval)',        'service_role'),
            ('scopekit.close_breaker(text)',                       'service_role'),
            ('scopekit.engine_room(text)',                         'service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
