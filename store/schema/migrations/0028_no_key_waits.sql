-- Neither a completion nor a sweep waits for whoever holds a tenant's row, nor for a visit that a dead letter is of.

ALTER TABLE public.analytics_events DROP CONSTRAINT analytics_events_tenant_id_fkey;
ALTER TABLE public.cancelled_spending DROP CONSTRAINT cancelled_spending_tenant_id_fkey;

-- Free up to p_limit expired leases, let as many due jobs join the line, and count the jobs that wait for a worker. Jobs
-- whose visit a transaction elsewhere holds are left to the next sweep. The visits of all are locked in the order of their
-- ids, before it is decided what becomes of each job.
CREATE OR REPLACE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_found     CONSTANT public.jobs[] := ARRAY(
        SELECT j FROM public.jobs AS j WHERE status = 'running' AND lease_expires_at < now()
          AND (started_at >= pg_postmaster_start_time() OR scopekit.is_steady())
        ORDER BY lease_expires_at LIMIT 10 * p_limit FOR UPDATE SKIP LOCKED);
    v_elsewhere CONSTANT uuid[] := scopekit.held_elsewhere(
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE speaks),
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE visit_id IS NOT NULL));  -- a dead letter's key needs it too
    v_expired   CONSTANT public.jobs[] := ARRAY(
        SELECT f FROM unnest(v_found) AS f WHERE f.visit_id IS NULL OR f.visit_id <> ALL (v_elsewhere) LIMIT p_limit);
    v_cancelled public.jobs[] := '{}';
    v_dead      public.jobs[] := '{}';
    v_again     public.jobs[] := '{}';
    v_job       public.jobs;
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
    PERFORM scopekit.cancel_locked_jobs(v_cancelled), scopekit.dead_letter_jobs(v_dead), scopekit.requeue_lost(v_again);
    PERFORM scopekit.promote_due_jobs(p_limit, ARRAY(SELECT lane FROM public.job_kinds UNION SELECT 'ai'));
    requeued := cardinality(v_again); dead := cardinality(v_dead); cancelled := cardinality(v_cancelled);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;
