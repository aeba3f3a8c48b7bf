-- A ticket stands for its maker's own token and for no longer than a minute. Its claims are what the gateway later acts
-- under, so whoever may insert a row (on Supabase any user may, by REST) must not write another tenant's into it.
DROP POLICY of_own_tenant ON public.progress_tickets;
CREATE POLICY of_own_tenant ON public.progress_tickets TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id())
                AND claims = (SELECT auth.jwt())
                AND expires_at <= clock_timestamp() + interval '1 minute');
