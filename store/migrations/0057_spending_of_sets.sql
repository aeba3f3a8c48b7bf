-- Jobs are cancelled in sets (0046), and 0056, written beside it, undid that for a single one: now the set keeps what
-- its jobs had paid for, and one job is a set of one again.
CREATE OR REPLACE FUNCTION scopekit.cancel_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids CONSTANT uuid[] := ARRAY(SELECT id FROM unnest(p_jobs));
BEGIN
    UPDATE public.ai_jobs
    SET status = 'cancelled', finished_at = now(), cancel_requested_at = coalesce(cancel_requested_at, now()),
        lease_token = NULL, lease_expires_at = NULL
    WHERE id = ANY (v_ids);
    WITH dropped AS (DELETE FROM public.job_steps WHERE job_id = ANY (v_ids) RETURNING *)
    INSERT INTO public.cancelled_spending (job_id, step, item, tenant_id, cost, spent_at)
    SELECT d.job_id, d.step, d.item, d.tenant_id, sum((c ->> 'cost')::numeric), d.created_at
    FROM dropped AS d, jsonb_array_elements(CASE jsonb_typeof(d.value -> 'calls') WHEN 'array'
                                            THEN d.value -> 'calls' END) AS c
    WHERE c ->> 'cost' IS NOT NULL
    GROUP BY d.job_id, d.step, d.item, d.tenant_id, d.created_at
    ON CONFLICT DO NOTHING;
    PERFORM scopekit.move_visits(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    SELECT visit_id, tenant_id, id, 'job.cancelled' FROM unnest(p_jobs) ORDER BY visit_id;
END $$;

CREATE OR REPLACE FUNCTION scopekit.to_cancelled(p_job public.ai_jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.cancel_jobs(ARRAY[p_job]);
END $$;
