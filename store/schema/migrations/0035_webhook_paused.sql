-- Owners hear by mail that a webhook endpoint is paused.

-- Note that an endpoint did not take a delivery, which stays pending: it is asked again after p_wait. After p_patience of
-- failures it is paused, and the company's owners get a mail. Returns its status. Of deliveries that were under way
-- together, which saw the same p_failures, the first counts.
CREATE OR REPLACE FUNCTION scopekit.note_webhook_failure(p_endpoint uuid, p_failures integer, p_wait interval, p_patience interval)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_status text;
BEGIN
    UPDATE public.webhook_endpoints
    SET failures = failures + 1, failing_since = coalesce(failing_since, now()), not_before = now() + p_wait
    WHERE id = p_endpoint AND status = 'active' AND failures = p_failures;
    UPDATE public.webhook_endpoints SET status = 'paused', reason = 'failing', updated_at = now()
    WHERE id = p_endpoint AND status = 'active' AND failing_since < now() - p_patience;
    IF FOUND THEN
        INSERT INTO public.jobs (job_type, payload)
        SELECT 'mail', jsonb_build_object('mail', 'webhook_paused', 'about', p_endpoint, 'user_id', m.user_id,
                                          'queued_at', clock_timestamp())
        FROM public.memberships AS m JOIN public.webhook_endpoints AS e ON e.tenant_id = m.tenant_id
        WHERE e.id = p_endpoint AND m.role = 'owner';
    END IF;
    SELECT status INTO v_status FROM public.webhook_endpoints WHERE id = p_endpoint;
    RETURN v_status;
END $$;
