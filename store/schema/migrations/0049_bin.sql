-- The bin: deleted visits go for good after some days, with all that hangs on them.

ALTER TABLE public.site_visits
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN deleted_by uuid,
    ADD COLUMN purge_at timestamptz,
    ADD CONSTRAINT in_the_bin_or_not CHECK (num_nulls(deleted_at, purge_at) IN (0, 2));
DROP INDEX public.site_visits_external_id;
CREATE UNIQUE INDEX site_visits_external_id ON public.site_visits (tenant_id, external_id)
    WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX site_visits_in_bin ON public.site_visits (id) WHERE deleted_at IS NOT NULL;

-- The visits in the bin. With its owner's rights, so that a policy asks one small index and no other policy.
CREATE VIEW scopekit.bin AS SELECT id AS visit_id FROM public.site_visits WHERE deleted_at IS NOT NULL;

-- Put a visit of the caller's company into the bin, for p_days: its jobs are cancelled, its links revoked, its streams
-- ended. When it goes for good; null when there is no such visit, or its caller is no member.
CREATE FUNCTION scopekit.delete_visit(p_visit_id uuid, p_days integer) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id('member');
    v_purge  timestamptz := now() + make_interval(days => p_days);
BEGIN
    -- Jobs before their visit, as a worker locks them that completes one.
    PERFORM scopekit.cancel_job(j.id) FROM public.jobs j
    WHERE j.visit_id = p_visit_id AND j.tenant_id = v_tenant AND j.lane = 'ai' AND j.status IN ('queued', 'running');
    UPDATE public.site_visits
    SET deleted_at = now(), deleted_by = auth.uid(), purge_at = v_purge, updated_at = now()
    WHERE id = p_visit_id AND tenant_id = v_tenant AND deleted_at IS NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE public.shares SET revoked_at = now() WHERE visit_id = p_visit_id AND revoked_at IS NULL;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload, ends_stream)
    VALUES (p_visit_id, v_tenant, 'visit.deleted', jsonb_build_object('purge_at', v_purge), true);
    INSERT INTO public.changes (tenant_id, kind, object_id, visit_id, action)
    VALUES (v_tenant, 'visit', p_visit_id, p_visit_id, 'deleted');
    RETURN v_purge;
END $$;

-- Take a visit of the caller's company out of the bin, with the links that its deletion revoked; false when it is not
-- there. Raises unique_violation where another visit has its external id by now.
CREATE FUNCTION scopekit.restore_visit(p_visit_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant  uuid := public.current_tenant_id('member');
    v_deleted timestamptz;
BEGIN
    SELECT deleted_at INTO v_deleted FROM public.site_visits
    WHERE id = p_visit_id AND tenant_id = v_tenant AND purge_at > now() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE public.site_visits SET deleted_at = NULL, deleted_by = NULL, purge_at = NULL, updated_at = now()
    WHERE id = p_visit_id;
    -- Those that were revoked before were so at another time.
    UPDATE public.shares SET revoked_at = NULL WHERE visit_id = p_visit_id AND revoked_at = v_deleted;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (p_visit_id, v_tenant, 'visit.restored', '{}');
    INSERT INTO public.changes (tenant_id, kind, object_id, visit_id, action)
    VALUES (v_tenant, 'visit', p_visit_id, p_visit_id, 'created');
    RETURN true;
END $$;

-- Let a visit in the bin go for good at once, with its media. For admins; false when it is not there.
CREATE FUNCTION scopekit.purge_visit(p_visit_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.site_visits SET purge_at = now()
    WHERE id = p_visit_id AND tenant_id = public.current_tenant_id('admin') AND purge_at > now();
    RETURN FOUND;
END $$;

-- The visits in the bin of the caller's company, the last deleted first, behind a position.
CREATE FUNCTION scopekit.deleted_visits(p_limit integer, p_deleted_at timestamptz, p_id uuid)
    RETURNS TABLE (id uuid, title text, customer_name text, address text, external_id text, created_at timestamptz,
                   deleted_at timestamptz, deleted_by text, purge_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.id, v.title, v.customer_name, v.address, v.external_id, v.created_at, v.deleted_at,
           coalesce(nullif(u.name, ''), u.email, k.name, ''), v.purge_at
    FROM public.site_visits v
    LEFT JOIN public.users u ON u.id = v.deleted_by
    LEFT JOIN public.api_keys k ON k.id = v.deleted_by
    WHERE v.tenant_id = public.current_tenant_id() AND v.deleted_at IS NOT NULL AND v.purge_at > now()
      AND (p_deleted_at IS NULL OR (v.deleted_at, v.id) < (p_deleted_at, p_id))
    ORDER BY v.deleted_at DESC, v.id DESC LIMIT p_limit
$$;

-- The bytes of the media of the caller's company, in the bin too.
CREATE FUNCTION scopekit.stored_bytes() RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(sum(file_size + coalesce(original_size, 0)), 0) FROM public.site_visit_media
    WHERE tenant_id = (SELECT public.current_tenant_id())
$$;

CREATE OR REPLACE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, ended_by text, enabled boolean, epoch_gaps bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.ended_by,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false),
           coalesce(s.epoch_gaps, '{}')
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id AND v.deleted_at IS NULL
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

CREATE OR REPLACE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, epoch_gaps bigint[],
                   job_id uuid, ended_by text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0),
           coalesce(s.epoch_gaps, '{}'), s.job_id, s.ended_by,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id AND v.deleted_at IS NULL
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

-- A visit in the bin is hidden, and so is what hangs on it.
DO $$
DECLARE
    v_table text;
BEGIN
    EXECUTE 'CREATE POLICY not_in_the_bin ON public.site_visits AS RESTRICTIVE TO authenticated USING (deleted_at IS NULL)';
    FOREACH v_table IN ARRAY ARRAY['site_visit_media', 'media_uploads', 'resumable_uploads', 'recording_chunks',
                                   'transcripts', 'estimates', 'jobs', 'jobs_dlq', 'shares', 'visit_sync_events'] LOOP
        EXECUTE format('CREATE POLICY not_in_the_bin ON public.%I AS RESTRICTIVE TO authenticated
            USING (NOT EXISTS (SELECT FROM scopekit.bin b WHERE b.visit_id = %I.visit_id))', v_table, v_table);
    END LOOP;
END $$;

REVOKE ALL ON scopekit.bin FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT SELECT ON scopekit.bin TO authenticated;
REVOKE ALL ON FUNCTION scopekit.delete_visit(uuid, integer), scopekit.restore_visit(uuid), scopekit.purge_visit(uuid),
    scopekit.deleted_visits(integer, timestamptz, uuid), scopekit.stored_bytes()
    FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.delete_visit(uuid, integer), scopekit.restore_visit(uuid), scopekit.purge_visit(uuid),
    scopekit.deleted_visits(integer, timestamptz, uuid), scopekit.stored_bytes() TO authenticated, service_role;
