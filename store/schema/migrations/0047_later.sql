-- A tenant may queue a job for later, and behind others; never before them, as priority goes before fairness.
GRANT INSERT (priority, run_at) ON public.ai_jobs TO authenticated;
CREATE POLICY no_jumping_the_line ON public.ai_jobs AS RESTRICTIVE FOR INSERT TO authenticated
    WITH CHECK (priority BETWEEN -10 AND 0
                AND run_at BETWEEN now() - interval '1 hour' AND now() + interval '90 days 1 hour');

-- The visit's subscribers hear for when it is.
CREATE OR REPLACE FUNCTION scopekit.tell_enqueued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.move_visits(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT visit_id, tenant_id, id, 'job.queued',
           CASE WHEN turn IS NULL THEN jsonb_build_object('run_at', run_at) ELSE '{}' END
    FROM enqueued WHERE status = 'queued' ORDER BY visit_id;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;
