-- One id from the phone to the last event: a job's trouble names the request that asked for it, and so does its status.
-- Beside it the job carries its place in a trace (W3C Trace Context), where traces are recorded.

ALTER TABLE public.ai_jobs ADD COLUMN trace_context text
    CHECK (trace_context ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
GRANT INSERT (trace_context) ON public.ai_jobs TO authenticated;

-- A job whose request sent no id goes by its own.
CREATE FUNCTION scopekit.correlation(p_job public.ai_jobs) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object('correlation_id', coalesce(p_job.correlation_id, p_job.id::text)) $$;

CREATE OR REPLACE FUNCTION scopekit.tell(p_job public.ai_jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    VALUES (p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload || scopekit.correlation(p_job));
END $$;

CREATE OR REPLACE FUNCTION scopekit.tell_enqueued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.move_visits(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT visit_id, tenant_id, id, 'job.queued',
           jsonb_build_object('correlation_id', coalesce(correlation_id, id::text))
               || CASE WHEN turn IS NULL THEN jsonb_build_object('run_at', run_at) ELSE '{}' END
    FROM enqueued WHERE status = 'queued' ORDER BY visit_id;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION scopekit.bury_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ai_jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts, payload, job)
    SELECT j.id, j.tenant_id, j.visit_id, j.job_type, j.last_error, j.error_code, j.attempts, j.payload,
           to_jsonb(j) || jsonb_build_object('status', 'failed', 'finished_at', now(), 'lease_token', NULL,
                                             'lease_expires_at', NULL)
    FROM unnest(p_jobs) AS j
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.ai_jobs WHERE id = ANY (ARRAY(SELECT id FROM unnest(p_jobs)));
    PERFORM scopekit.move_visits(array_agg(visit_id), 'failed') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.failed',
           jsonb_build_object('error', j.last_error, 'code', j.error_code) || scopekit.correlation(j)
    FROM unnest(p_jobs) AS j ORDER BY j.visit_id;
END $$;

-- As before, and its place in the trace comes back with the job.
CREATE OR REPLACE FUNCTION scopekit.redrive(p_dlq_id uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_dead public.ai_jobs_dlq;
    v_job  public.ai_jobs;
BEGIN
    SELECT * INTO v_dead FROM public.ai_jobs_dlq WHERE id = p_dlq_id FOR UPDATE;
    IF NOT FOUND OR v_dead.retried_at IS NOT NULL THEN
        RETURN v_dead.original_job_id;
    END IF;
    v_job := jsonb_populate_record(NULL::public.ai_jobs, v_dead.job);
    INSERT INTO public.ai_jobs
        (id, tenant_id, visit_id, job_type, priority, max_attempts, payload, idempotency_key, correlation_id,
         trace_context, created_by, created_at)
    VALUES (v_dead.original_job_id, v_dead.tenant_id, v_dead.visit_id, v_dead.job_type, coalesce(v_job.priority, 0),
            v_job.max_attempts, v_dead.payload, v_job.idempotency_key, v_job.correlation_id, v_job.trace_context,
            v_job.created_by, coalesce(v_job.created_at, now()));
    UPDATE public.ai_jobs_dlq SET retried_at = now() WHERE id = p_dlq_id;
    RETURN v_dead.original_job_id;
END $$;

-- The id under which everything about a job is found, wherever its row is; each reader sees what RLS lets him see.
CREATE FUNCTION scopekit.job_correlation(p_job_id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT correlation_id FROM public.ai_jobs WHERE id = p_job_id),
                    (SELECT job ->> 'correlation_id' FROM public.ai_jobs_dlq WHERE original_job_id = p_job_id
                     ORDER BY moved_at DESC LIMIT 1),
                    p_job_id::text)
$$;

REVOKE ALL ON FUNCTION scopekit.job_correlation(uuid) FROM PUBLIC, anon;
GRANT EXECUTE ON FUNCTION scopekit.job_correlation(uuid) TO authenticated, service_role;
REVOKE ALL ON FUNCTION scopekit.correlation(public.ai_jobs) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.correlation(public.ai_jobs) TO service_role;
