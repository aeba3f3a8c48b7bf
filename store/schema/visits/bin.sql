-- The bin: deleted visits, which go for good after some days, with all that hangs on them.
--
-- A visit in the bin is there for nobody but the functions here: policies hide its row and those of its children from
-- the company's users, and its links are revoked. Its media count in the company's room until they are gone.

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
    SELECT coalesce((SELECT bytes FROM public.tenant_storage WHERE tenant_id = (SELECT public.current_tenant_id())), 0)::numeric
$$;
