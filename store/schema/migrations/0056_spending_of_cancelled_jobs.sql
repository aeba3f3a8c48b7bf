-- What a cancelled job had paid for: its checkpoints go and it leaves no estimate, yet the money is spent. A tenant's
-- month counts it.
CREATE TABLE public.cancelled_spending (
    job_id    uuid NOT NULL,
    step      text NOT NULL,
    item      text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES public.tenants,
    cost      numeric(12, 6) NOT NULL CHECK (cost >= 0),
    spent_at  timestamptz NOT NULL,
    PRIMARY KEY (job_id, step, item)
);
CREATE INDEX cancelled_spending_of_tenant ON public.cancelled_spending (tenant_id, spent_at);

ALTER TABLE public.cancelled_spending ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.cancelled_spending FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.cancelled_spending TO service_role;

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
    FROM dropped d,
         jsonb_array_elements(CASE WHEN jsonb_typeof(d.value -> 'calls') = 'array' THEN d.value -> 'calls' END) AS c
    WHERE c ->> 'cost' IS NOT NULL
    GROUP BY d.job_id, d.step, d.item, d.tenant_id, d.created_at
    ON CONFLICT DO NOTHING;
    PERFORM scopekit.move_visits(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    SELECT visit_id, tenant_id, id, 'job.cancelled' FROM unnest(p_jobs) ORDER BY visit_id;
END $$;
