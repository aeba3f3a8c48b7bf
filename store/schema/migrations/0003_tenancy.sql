-- Who may touch what. A row is its tenant's: `authenticated` sees and writes only rows of the tenant in its token,
-- `anon` nothing, the gateway's login nothing until it takes a role. A forgotten WHERE leaks nothing.

-- The runbook's own INSERTs name only the visit; the tenant follows from it.
CREATE FUNCTION scopekit.fill_tenant_id() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.tenant_id IS NULL THEN
        SELECT tenant_id INTO NEW.tenant_id FROM public.site_visits WHERE id = NEW.visit_id;
    END IF;
    RETURN NEW;
END $$;

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['site_visit_media', 'transcripts', 'ai_jobs', 'ai_jobs_dlq', 'job_steps',
                                   'processing_events', 'visit_sync_events', 'estimates'] LOOP
        EXECUTE format('CREATE TRIGGER fill_tenant BEFORE INSERT ON public.%I FOR EACH ROW '
                       'EXECUTE FUNCTION scopekit.fill_tenant_id()', v_table);
    END LOOP;
END $$;

-- Rights by table: letters as in \dp (r select, a insert, w update, d delete).
DO $$
DECLARE
    v_right record;
    v_verbs text;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('tenant_settings',   'r'),
            ('memberships',       'r'),
            ('site_visits',       'raw'),
            ('site_visit_media',  'rawd'),
            ('transcripts',       'r'),
            ('price_items',       'rawd'),
            ('ai_jobs',           'ra'),
            ('ai_jobs_dlq',       'r'),
            ('job_steps',         ''),
            ('visit_streams',     'r'),
            ('processing_events', 'ra'),
            ('progress_tickets',  'a'),
            ('visit_sync_events', 'ra'),
            ('analytics_events',  ''),
            ('estimates',         'ra'),
            ('estimate_lines',    'ra'),
            ('shares',            'ra'),
            ('share_views',       'r'),
            ('share_decisions',   'r')
        ) AS wanted(name, rights)
    LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_right.name);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, scopekit_gateway', v_right.name);
        EXECUTE format('GRANT ALL ON public.%I TO service_role', v_right.name);
        EXECUTE format(
            'CREATE POLICY of_own_tenant ON public.%I TO authenticated '
            'USING (tenant_id = (SELECT public.current_tenant_id())) '
            'WITH CHECK (tenant_id = (SELECT public.current_tenant_id()))', v_right.name);
        SELECT string_agg(verb, ', ') INTO v_verbs
        FROM (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE')) AS v(letter, verb)
        WHERE strpos(v_right.rights, letter) > 0;
        IF v_verbs IS NOT NULL THEN
            EXECUTE format('GRANT %s ON public.%I TO authenticated', v_verbs, v_right.name);
        END IF;
    END LOOP;
END $$;

ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.tenants FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.tenants TO service_role;
GRANT SELECT ON public.tenants TO authenticated;
CREATE POLICY of_own_tenant ON public.tenants TO authenticated USING (id = (SELECT public.current_tenant_id()));

-- Not a tenant's at all.
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['queue_control', 'service_keys'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, scopekit_gateway', v_table);
        EXECUTE format('GRANT ALL ON public.%I TO service_role', v_table);
    END LOOP;
END $$;

-- A client enqueues a plain job; its place in line, lease, attempts and results are the queue's to write.
REVOKE INSERT ON public.ai_jobs FROM authenticated;
GRANT INSERT (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, created_by)
    ON public.ai_jobs TO authenticated;
-- Of a share only its revocation changes by its owner's hand; views and passcode tries are counted by functions.
GRANT UPDATE (revoked_at) ON public.shares TO authenticated;

REVOKE ALL ON FUNCTION public.current_tenant_id(), public.search_text(text), public.check_estimate_totals() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.current_tenant_id(), public.search_text(text) TO authenticated, service_role;
REVOKE ALL ON FUNCTION scopekit.fill_tenant_id() FROM PUBLIC;
