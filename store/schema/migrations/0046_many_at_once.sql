-- What leaves the queue leaves it in sets: a sweep frees the hundred leases of a dead host in a few statements.

CREATE FUNCTION scopekit.cancel_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids CONSTANT uuid[] := ARRAY(SELECT id FROM unnest(p_jobs));
BEGIN
    UPDATE public.ai_jobs
    SET status = 'cancelled', finished_at = now(), cancel_requested_at = coalesce(cancel_requested_at, now()),
        lease_token = NULL, lease_expires_at = NULL
    WHERE id = ANY (v_ids);
    DELETE FROM public.job_steps WHERE job_id = ANY (v_ids);
    PERFORM scopekit.move_visits(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    SELECT visit_id, tenant_id, id, 'job.cancelled' FROM unnest(p_jobs) ORDER BY visit_id;
END $$;

-- Each dies of its last_error and error_code.
CREATE FUNCTION scopekit.bury_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
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
    SELECT visit_id, tenant_id, id, 'job.failed', jsonb_build_object('error', last_error, 'code', error_code)
    FROM unnest(p_jobs) ORDER BY visit_id;
END $$;

-- Their workers are gone: each waits its backoff, with the attempt spent and the loss counted.
CREATE FUNCTION scopekit.requeue_lost(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    SELECT visit_id, tenant_id, id, 'job.released' FROM unnest(p_jobs) ORDER BY visit_id;
END $$;

-- One job is a set of one.
CREATE OR REPLACE FUNCTION scopekit.to_cancelled(p_job public.ai_jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.cancel_jobs(ARRAY[p_job]);
END $$;

CREATE OR REPLACE FUNCTION scopekit.to_dead_letters(p_job public.ai_jobs, p_error text, p_code text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    p_job.last_error := coalesce(p_error, p_job.last_error, 'unknown error');
    p_job.error_code := coalesce(p_code, p_job.error_code, 'attempts_exhausted');
    PERFORM scopekit.bury_jobs(ARRAY[p_job]);
END $$;

-- Free up to p_limit expired leases, let as many due jobs join the line, and count what waits for somebody. What becomes
-- of each is decided first, then the visits of all are locked in the order of their ids, the visits before the streams,
-- as every transaction that locks several does.
CREATE OR REPLACE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_expired   CONSTANT public.ai_jobs[] := ARRAY(
        SELECT j FROM public.ai_jobs AS j WHERE status = 'running' AND lease_expires_at < now()
        ORDER BY lease_expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    v_visits    CONSTANT uuid[] := ARRAY(SELECT visit_id FROM unnest(v_expired));
    v_cancelled public.ai_jobs[] := '{}';
    v_dead      public.ai_jobs[] := '{}';
    v_again     public.ai_jobs[] := '{}';
    v_job       public.ai_jobs;
BEGIN
    FOREACH v_job IN ARRAY v_expired LOOP
        v_job.lost_leases := v_job.lost_leases + 1;
        IF v_job.cancel_requested_at IS NOT NULL THEN
            v_cancelled := v_cancelled || v_job;
        ELSIF v_job.lost_leases >= 3 OR v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
            v_job.last_error := format('The worker stopped in the middle of this job, %s time(s).', v_job.lost_leases);
            v_job.error_code := 'worker_lost';
            v_dead := v_dead || v_job;
        ELSE
            v_again := v_again || v_job;
        END IF;
    END LOOP;
    PERFORM FROM public.site_visits WHERE id = ANY (v_visits) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM public.visit_streams WHERE visit_id = ANY (v_visits) ORDER BY visit_id FOR NO KEY UPDATE;
    PERFORM scopekit.cancel_jobs(v_cancelled), scopekit.bury_jobs(v_dead), scopekit.requeue_lost(v_again);
    PERFORM scopekit.line_up(p_limit);
    requeued := cardinality(v_again); dead := cardinality(v_dead); cancelled := cardinality(v_cancelled);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.ai_jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOREACH v_function IN ARRAY ARRAY['scopekit.cancel_jobs(public.ai_jobs[])', 'scopekit.bury_jobs(public.ai_jobs[])',
                                      'scopekit.requeue_lost(public.ai_jobs[])']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', v_function);
    END LOOP;
END $$;
-- They move no visit by themselves any more.
DROP FUNCTION scopekit.move_visit(public.ai_jobs, text);
