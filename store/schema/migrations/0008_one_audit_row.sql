-- Many calls at once about one dead letter or one share act once, and are in the audit log once.

-- An operator's retry. Returns the job's id; null for a letter that is not there or was discarded. The letter is locked
-- before anything is written down, so that of many calls at once the first alone acts, and is in the audit log.
-- unique_violation as scopekit.redrive.
CREATE OR REPLACE FUNCTION scopekit.retry_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.ai_jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.ai_jobs_dlq WHERE id = p_id AND discarded_at IS NULL FOR UPDATE;
    IF v_letter.retried_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.retry', p_id::text, p_reason);
    RETURN scopekit.redrive(p_id);
END $$;

-- Returns the job's id; null for a letter that is not there or was retried. A second call finds it done, and is not in
-- the audit log.
CREATE OR REPLACE FUNCTION scopekit.discard_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.ai_jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.ai_jobs_dlq
    WHERE id = p_id AND (retried_at IS NULL OR discarded_at IS NOT NULL) FOR UPDATE;
    IF v_letter.discarded_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.discard', p_id::text, p_reason);
    UPDATE public.ai_jobs_dlq SET discarded_at = now(), retried_at = now() WHERE id = p_id;
    RETURN v_letter.original_job_id;
END $$;

-- Revoke any tenant's share; false for one that is not there. A second call finds it done, and is not in the audit log.
-- Its own tenant revokes by the route.
CREATE OR REPLACE FUNCTION scopekit.operator_revoke_share(p_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    UPDATE public.shares SET revoked_at = now() WHERE id = p_id AND revoked_at IS NULL;
    IF FOUND THEN
        PERFORM scopekit.begin_action('share.revoke', p_id::text, p_reason);
    END IF;
    RETURN EXISTS (SELECT 1 FROM public.shares WHERE id = p_id);
END $$;
