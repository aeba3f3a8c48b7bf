-- Dead letters (jobs_dlq): jobs that failed for good, and what operators do with them.

-- Into the DLQ --------------------------------------------------------------------------------------------------------

-- Each dies of its last_error and error_code.
CREATE FUNCTION scopekit.dead_letter_jobs(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, lane, last_error, error_code, attempts, payload, job)
    SELECT j.id, j.tenant_id, j.visit_id, j.job_type, j.lane, j.last_error, j.error_code, j.attempts, j.payload,
           to_jsonb(j) || jsonb_build_object('status', 'failed', 'finished_at', now(), 'lease_token', NULL,
                                             'lease_expires_at', NULL)
    FROM unnest(p_jobs) AS j
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.jobs WHERE id = ANY (ARRAY(SELECT id FROM unnest(p_jobs)));
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'failed') FROM unnest(p_jobs) WHERE ends_stream;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.failed',
           jsonb_build_object('error', j.last_error, 'code', j.error_code) || scopekit.correlation(j),
           NOT j.ends_stream
    FROM unnest(p_jobs) AS j WHERE j.speaks ORDER BY j.visit_id;
END $$;

-- One job is a set of one.
CREATE FUNCTION scopekit.dead_letter_job(p_job public.jobs, p_error text, p_code text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    p_job.last_error := coalesce(p_error, p_job.last_error, 'unknown error');
    p_job.error_code := coalesce(p_code, p_job.error_code, 'attempts_exhausted');
    PERFORM scopekit.dead_letter_jobs(ARRAY[p_job]);
END $$;

-- The runbook's function: an unknown id, or one with attempts left, is left alone.
CREATE FUNCTION public.move_to_dlq(p_job_id uuid, p_error text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs
    WHERE id = p_job_id AND status NOT IN ('completed', 'cancelled') FOR UPDATE;
    IF FOUND AND v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
        PERFORM scopekit.dead_letter_job(v_job, p_error, NULL);
    END IF;
END $$;

-- Out of it -----------------------------------------------------------------------------------------------------------

-- Queue a dead job again under its own id, with everything it had and no attempt spent. A second call finds it done.
-- Returns the job's id; null for an unknown one. unique_violation when the visit has another active job by now.
CREATE FUNCTION scopekit.redrive(p_dlq_id uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_dead public.jobs_dlq;
    v_job  public.jobs;
BEGIN
    SELECT * INTO v_dead FROM public.jobs_dlq WHERE id = p_dlq_id FOR UPDATE;
    IF NOT FOUND OR v_dead.retried_at IS NOT NULL THEN
        RETURN v_dead.original_job_id;
    END IF;
    v_job := jsonb_populate_record(NULL::public.jobs, v_dead.job);
    INSERT INTO public.jobs
        (id, tenant_id, visit_id, job_type, priority, max_attempts, payload, idempotency_key, correlation_id,
         trace_context, created_by, created_at, unique_key)
    VALUES (v_dead.original_job_id, v_dead.tenant_id, v_dead.visit_id, v_dead.job_type, coalesce(v_job.priority, 0),
            v_job.max_attempts, v_dead.payload, v_job.idempotency_key, v_job.correlation_id, v_job.trace_context,
            v_job.created_by, coalesce(v_job.created_at, now()), v_job.unique_key);
    UPDATE public.jobs_dlq SET retried_at = now() WHERE id = p_dlq_id;
    RETURN v_dead.original_job_id;
END $$;

-- An operator's retry. Returns the job's id; null for a letter that is not there or was discarded. The letter is locked
-- before anything is written down, so that of many calls at once the first alone acts, and is in the audit log.
-- unique_violation as scopekit.redrive.
CREATE FUNCTION scopekit.retry_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.jobs_dlq WHERE id = p_id AND discarded_at IS NULL FOR UPDATE;
    IF v_letter.retried_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.retry', p_id::text, p_reason);
    RETURN scopekit.redrive(p_id);
END $$;

-- Returns the job's id; null for a letter that is not there or was retried. A second call finds it done, and is not in
-- the audit log.
CREATE FUNCTION scopekit.discard_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.jobs_dlq
    WHERE id = p_id AND (retried_at IS NULL OR discarded_at IS NOT NULL) FOR UPDATE;
    IF v_letter.discarded_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.discard', p_id::text, p_reason);
    UPDATE public.jobs_dlq SET discarded_at = now(), retried_at = now() WHERE id = p_id;
    RETURN v_letter.original_job_id;
END $$;

-- What operators see --------------------------------------------------------------------------------------------------

-- The error without what tells one from others of its kind: ids and numbers say which one, not what.
CREATE FUNCTION scopekit.dead_letter_cause(p_error text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(regexp_replace(coalesce(p_error, ''), '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]+', '#', 'g'), 200)
$$;

-- Waiting letters by cause.
CREATE FUNCTION scopekit.dead_letter_causes()
    RETURNS TABLE (job_type text, error_code text, cause text, letters bigint, tenants bigint,
                   oldest timestamptz, newest timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.job_type, coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), count(*),
                        count(DISTINCT d.tenant_id), min(d.moved_at), max(d.moved_at)
                 FROM public.jobs_dlq d WHERE d.retried_at IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC;
END $$;

-- The newest waiting letters.
CREATE FUNCTION scopekit.dead_letters(p_limit integer)
    RETURNS TABLE (id uuid, job_id uuid, tenant_id uuid, tenant text, visit_id uuid, job_type text, error_code text,
                   cause text, last_error text, attempts integer, moved_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id, d.original_job_id, d.tenant_id, t.name, d.visit_id, d.job_type,
                        coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), d.last_error, d.attempts,
                        d.moved_at
                 FROM public.jobs_dlq d LEFT JOIN public.tenants t ON t.id = d.tenant_id
                 WHERE d.retried_at IS NULL ORDER BY d.moved_at DESC LIMIT p_limit;
END $$;

-- Whether a letter still waits.
CREATE FUNCTION scopekit.dead_letter_waits(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN EXISTS (SELECT FROM public.jobs_dlq WHERE id = p_id AND retried_at IS NULL);
END $$;

-- Waiting letters of a kind, the oldest first, from the one after p_after on; null matches anything. A batch begins after
-- the last letter of the one before, so that letters that cannot be retried hold none back.
CREATE FUNCTION scopekit.waiting_dead_letters(
    p_job_type text, p_error_code text, p_cause text, p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_after timestamptz := (SELECT d.moved_at FROM public.jobs_dlq d WHERE d.id = p_after);
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id FROM public.jobs_dlq d
                 WHERE d.retried_at IS NULL
                   AND (v_after IS NULL OR (d.moved_at, d.id) > (v_after, p_after))
                   AND (p_job_type IS NULL OR d.job_type = p_job_type)
                   AND (p_error_code IS NULL OR coalesce(d.error_code, '') = p_error_code)
                   AND (p_cause IS NULL OR scopekit.dead_letter_cause(d.last_error) = p_cause)
                 ORDER BY d.moved_at, d.id LIMIT p_limit;
END $$;

-- Dead letters of the last seven days, by day and kind of job.
CREATE FUNCTION scopekit.dead_letter_growth()
    RETURNS TABLE (date date, job_type text, failed_count bigint, avg_attempts numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.moved_at::date, d.job_type, count(*), round(avg(d.attempts), 2)
    FROM public.ai_jobs_dlq AS d WHERE d.moved_at > now() - interval '7 days'
    GROUP BY 1, 2 ORDER BY 1 DESC, 2
$$;
