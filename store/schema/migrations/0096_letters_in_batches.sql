-- Dead letters one by one and in batches, however many there are: each is found by its id, and a batch begins after the
-- last letter of the one before, so that letters that cannot be retried hold none back.
CREATE FUNCTION scopekit.letter_waits(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN EXISTS (SELECT FROM public.ai_jobs_dlq WHERE id = p_id AND retried_at IS NULL);
END $$;

-- Waiting letters of a kind, the oldest first, from the one after p_after on; null for what does not matter.
CREATE FUNCTION scopekit.waiting_letters(
    p_job_type text, p_error_code text, p_cause text, p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_after timestamptz := (SELECT d.moved_at FROM public.ai_jobs_dlq d WHERE d.id = p_after);
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id FROM public.ai_jobs_dlq d
                 WHERE d.retried_at IS NULL
                   AND (v_after IS NULL OR (d.moved_at, d.id) > (v_after, p_after))
                   AND (p_job_type IS NULL OR d.job_type = p_job_type)
                   AND (p_error_code IS NULL OR coalesce(d.error_code, '') = p_error_code)
                   AND (p_cause IS NULL OR scopekit.dead_cause(d.last_error) = p_cause)
                 ORDER BY d.moved_at, d.id LIMIT p_limit;
END $$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.letter_waits(uuid)',                               'scopekit_gateway, service_role'),
            ('scopekit.waiting_letters(text, text, text, uuid, integer)', 'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
