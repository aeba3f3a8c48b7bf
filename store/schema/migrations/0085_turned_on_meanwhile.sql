-- A flag may be turned on between a worker's reading of it and the commit by which the job is put off: wake_estimates
-- does not see that job yet, and it would wait ten minutes for nobody's word. The flag's row is locked here for reading,
-- so that whoever turns it on comes before, and the job is due at once, or after, and finds it queued.
CREATE FUNCTION scopekit.mind_the_flag() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM public.tenant_settings
    WHERE tenant_id = NEW.tenant_id AND feature_flags #> '{visits,ai_estimation_enabled}' = 'true'
    FOR SHARE;
    IF FOUND THEN
        NEW.run_at := now();
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION scopekit.mind_the_flag() FROM PUBLIC, anon, authenticated;
CREATE TRIGGER mind_the_flag BEFORE UPDATE OF status ON public.ai_jobs FOR EACH ROW
    WHEN (OLD.status = 'running' AND NEW.status = 'queued' AND NEW.error_code = 'turned_off')
    EXECUTE FUNCTION scopekit.mind_the_flag();

-- Supabase's default privileges give every new function of `public` to its API's roles.
REVOKE ALL ON FUNCTION public.price_candidates FROM anon, authenticated;
