-- A pause for good that is put over one with an end (a rollback's over an operator's) gives it back when it is over.
ALTER TABLE public.queue_control
    ADD COLUMN held_reason text,
    ADD COLUMN held_until  timestamptz,
    ADD CONSTRAINT held_pause_has_an_end CHECK ((held_reason IS NULL) = (held_until IS NULL));

-- Pause for good. A pause that would end by itself is kept for the release; one for good stays whose it is.
CREATE FUNCTION scopekit.operator_hold(p_name text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('queue.pause', p_name, p_reason, jsonb_build_object('until', NULL));
    INSERT INTO public.queue_control AS c (name, paused, reason) VALUES (p_name, true, p_reason)
    ON CONFLICT (name) DO UPDATE
        SET paused = true, reason = excluded.reason, until = NULL, updated_at = now(),
            held_reason = CASE WHEN c.paused AND c.until > now() THEN c.reason END,
            held_until = CASE WHEN c.paused AND c.until > now() THEN c.until END
        WHERE NOT c.paused OR c.until IS NOT NULL;
END $$;

-- End a hold; whether a pause that was kept goes on.
CREATE FUNCTION scopekit.operator_release(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('queue.resume', p_name, p_reason);
    UPDATE public.queue_control
    SET reason = held_reason, until = held_until, held_reason = NULL, held_until = NULL, updated_at = now()
    WHERE name = p_name AND held_until > now();
    IF NOT FOUND THEN
        PERFORM scopekit.resume_queue(p_name);
        RETURN false;
    END IF;
    RETURN true;
END $$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.operator_hold(text, text)',    'scopekit_gateway, service_role'),
            ('scopekit.operator_release(text, text)', 'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
