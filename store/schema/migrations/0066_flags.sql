-- Flags: nested whoever writes them, every change written down, and a kill switch that remembers what was on.
--
-- Invariants, which hold for the runbook's own UPDATEs too, as triggers keep them:
--  1 A flag written flat ("visits.enabled") is stored nested; no flat key is left in any row.
--  2 Each value that changes leaves one row of flag_changes, in the transaction that changed it.
--  3 While a flag is killed no tenant has it on. Who had it on at the kill, or asks for it meanwhile, is in flag_kept and
--    nobody else; the end of the kill turns it on for exactly those.
-- For 3 whoever writes flags takes the lock below shared, before any row, and a kill or its end takes it alone.

CREATE TABLE public.flag_changes (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    name       text NOT NULL,
    before     jsonb,
    after      jsonb,
    actor      text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX flag_changes_of_tenant ON public.flag_changes (tenant_id, changed_at DESC);
CREATE INDEX flag_changes_newest ON public.flag_changes (changed_at DESC);

CREATE TABLE public.flag_kills (
    name      text PRIMARY KEY,
    actor     text NOT NULL,
    reason    text NOT NULL DEFAULT '',
    killed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.flag_kept (
    name      text NOT NULL REFERENCES public.flag_kills ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    PRIMARY KEY (name, tenant_id)
);

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['flag_changes', 'flag_kills', 'flag_kept'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, scopekit_gateway', v_table);
        EXECUTE format('GRANT ALL ON public.%I TO service_role', v_table);
    END LOOP;
END $$;
REVOKE UPDATE, DELETE, TRUNCATE ON public.flag_changes FROM service_role;
GRANT SELECT ON public.flag_changes TO authenticated;
CREATE POLICY of_own_tenant ON public.flag_changes TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()));

-- Values --------------------------------------------------------------------------------------------------------------

-- Put a value at a path; what stands in the way and is no object goes.
CREATE FUNCTION scopekit.put_flag(p_flags jsonb, p_path text[], p_value jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_inner jsonb := p_flags -> p_path[1];
BEGIN
    IF cardinality(p_path) = 1 THEN
        RETURN p_flags || jsonb_build_object(p_path[1], p_value);
    END IF;
    IF jsonb_typeof(v_inner) IS DISTINCT FROM 'object' THEN
        v_inner := '{}';
    END IF;
    RETURN p_flags || jsonb_build_object(p_path[1], scopekit.put_flag(v_inner, p_path[2:], p_value));
END $$;

-- Flat keys become paths; what is flat is newer than what is nested, for no flat key is ever stored.
CREATE FUNCTION scopekit.nest_flags(p_flags jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_key    text;
    v_nested jsonb := p_flags;
BEGIN
    FOR v_key IN SELECT k FROM jsonb_object_keys(p_flags) AS k WHERE k ~ '^[^.]+([.][^.]+)+$' ORDER BY k LOOP
        v_nested := scopekit.put_flag(v_nested - v_key, string_to_array(v_key, '.'), p_flags -> v_key);
    END LOOP;
    RETURN v_nested;
END $$;

-- Every value with its dotted name.
CREATE FUNCTION scopekit.flag_values(p_flags jsonb) RETURNS TABLE (name text, value jsonb) LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE walk (name, value) AS (
        SELECT key, each.value FROM jsonb_each(p_flags) AS each
        UNION ALL
        SELECT walk.name || '.' || each.key, each.value
        FROM walk, jsonb_each(CASE WHEN jsonb_typeof(walk.value) = 'object' THEN walk.value ELSE '{}' END) AS each
    )
    SELECT walk.name, walk.value FROM walk WHERE jsonb_typeof(walk.value) <> 'object'
$$;

-- Triggers -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION scopekit.hold_flags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    RETURN NULL;
END $$;
CREATE TRIGGER hold_flags BEFORE INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.hold_flags();

CREATE FUNCTION scopekit.keep_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_name text;
BEGIN
    IF jsonb_typeof(NEW.feature_flags) IS DISTINCT FROM 'object' THEN
        RETURN NEW;  -- the table's CHECK refuses it
    END IF;
    NEW.feature_flags := scopekit.nest_flags(NEW.feature_flags);
    FOR v_name IN SELECT name FROM public.flag_kills LOOP
        IF NEW.feature_flags #> string_to_array(v_name, '.') = 'true' THEN
            NEW.feature_flags := scopekit.put_flag(NEW.feature_flags, string_to_array(v_name, '.'), 'false');
            INSERT INTO public.flag_kept (name, tenant_id) VALUES (v_name, NEW.tenant_id) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_flags BEFORE INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW EXECUTE FUNCTION scopekit.keep_flags();

CREATE FUNCTION scopekit.note_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_before jsonb := CASE TG_OP WHEN 'UPDATE' THEN OLD.feature_flags ELSE '{}' END;
BEGIN
    INSERT INTO public.flag_changes (tenant_id, name, before, after, actor, reason)
    SELECT NEW.tenant_id, coalesce(o.name, n.name), o.value, n.value, scopekit.actor(),
           coalesce(current_setting('scopekit.reason', true), '')
    FROM scopekit.flag_values(v_before) o FULL JOIN scopekit.flag_values(NEW.feature_flags) n ON n.name = o.name
    WHERE o.value IS DISTINCT FROM n.value;
    RETURN NULL;
END $$;
CREATE TRIGGER note_flags AFTER INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW EXECUTE FUNCTION scopekit.note_flags();

-- Estimates that were put off because estimation is off need not wait out their time once it is on.
CREATE FUNCTION scopekit.wake_estimates() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    UPDATE public.ai_jobs SET run_at = now()
    WHERE tenant_id = NEW.tenant_id AND status = 'queued' AND error_code = 'turned_off' AND run_at > now();
    IF FOUND THEN
        PERFORM pg_notify('scopekit_queue', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wake_estimates AFTER UPDATE OF feature_flags ON public.tenant_settings FOR EACH ROW
    WHEN (NEW.feature_flags #> '{visits,ai_estimation_enabled}' = 'true'
          AND OLD.feature_flags #> '{visits,ai_estimation_enabled}' IS DISTINCT FROM 'true')
    EXECUTE FUNCTION scopekit.wake_estimates();

-- One tenant's flags; null for a tenant that has none set.
CREATE FUNCTION scopekit.tenant_flags(p_tenant_id uuid) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT feature_flags FROM public.tenant_settings WHERE tenant_id = p_tenant_id
$$;

-- The runbook's flat keys, once.
UPDATE public.tenant_settings SET feature_flags = scopekit.nest_flags(feature_flags)
WHERE feature_flags <> scopekit.nest_flags(feature_flags);

-- An operator's deeds ----------------------------------------------------------------------------------------------------

-- Set a flag of one tenant; what it is now, null for a tenant that is not there. While it is killed `true` is kept for
-- later, and `false` forgets what was kept.
CREATE FUNCTION scopekit.set_flag(p_tenant_id uuid, p_name text, p_value jsonb, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_now jsonb;
BEGIN
    PERFORM scopekit.operate('flag.set', p_name, p_reason, jsonb_build_object('tenant_id', p_tenant_id, 'to', p_value));
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    INSERT INTO public.tenant_settings (tenant_id) SELECT id FROM public.tenants WHERE id = p_tenant_id
    ON CONFLICT (tenant_id) DO NOTHING;
    DELETE FROM public.flag_kept WHERE name = p_name AND tenant_id = p_tenant_id;
    UPDATE public.tenant_settings
    SET feature_flags = scopekit.put_flag(feature_flags, string_to_array(p_name, '.'), p_value)
    WHERE tenant_id = p_tenant_id RETURNING feature_flags #> string_to_array(p_name, '.') INTO v_now;
    RETURN v_now;
END $$;

-- Set a flag of every tenant; returns how many have changed.
CREATE FUNCTION scopekit.set_flag_everywhere(p_name text, p_value jsonb, p_reason text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_path    text[] := string_to_array(p_name, '.');
    v_changed integer;
BEGIN
    PERFORM scopekit.operate('flag.set', p_name, p_reason, jsonb_build_object('all_tenants', true, 'to', p_value));
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    INSERT INTO public.tenant_settings (tenant_id) SELECT id FROM public.tenants ON CONFLICT (tenant_id) DO NOTHING;
    DELETE FROM public.flag_kept WHERE name = p_name;
    UPDATE public.tenant_settings SET feature_flags = scopekit.put_flag(feature_flags, v_path, p_value)
    WHERE feature_flags #> v_path IS DISTINCT FROM p_value;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END $$;

-- Turn a flag off for everybody, and remember for whom it was on; how many that are, null when it is killed already.
CREATE FUNCTION scopekit.kill_flag(p_name text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_path text[] := string_to_array(p_name, '.');
BEGIN
    PERFORM scopekit.operate('flag.kill', p_name, p_reason);
    PERFORM pg_advisory_xact_lock(hashtextextended('scopekit flags', 0));
    INSERT INTO public.flag_kills (name, actor, reason) VALUES (p_name, scopekit.actor(), p_reason)
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.flag_kept (name, tenant_id)
    SELECT p_name, tenant_id FROM public.tenant_settings WHERE feature_flags #> v_path = 'true';
    UPDATE public.tenant_settings SET feature_flags = scopekit.put_flag(feature_flags, v_path, 'false')
    WHERE feature_flags #> v_path = 'true';
    RETURN (SELECT count(*) FROM public.flag_kept WHERE name = p_name);
END $$;

-- End a kill: the flag is on again for those who were remembered; how many, null when it was not killed.
CREATE FUNCTION scopekit.restore_flag(p_name text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_kept uuid[];
BEGIN
    PERFORM scopekit.operate('flag.restore', p_name, p_reason);
    PERFORM pg_advisory_xact_lock(hashtextextended('scopekit flags', 0));
    v_kept := ARRAY(SELECT tenant_id FROM public.flag_kept WHERE name = p_name);
    DELETE FROM public.flag_kills WHERE name = p_name;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE public.tenant_settings
    SET feature_flags = scopekit.put_flag(feature_flags, string_to_array(p_name, '.'), 'true')
    WHERE tenant_id = ANY (v_kept);
    RETURN cardinality(v_kept);
END $$;

-- What operators see ---------------------------------------------------------------------------------------------------

CREATE FUNCTION scopekit.flags_of_tenants(p_limit integer)
    RETURNS TABLE (tenant_id uuid, tenant text, flags jsonb, kept text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT t.id, t.name, coalesce(s.feature_flags, '{}'),
                        ARRAY(SELECT k.name FROM public.flag_kept k WHERE k.tenant_id = t.id ORDER BY 1)
                 FROM public.tenants t LEFT JOIN public.tenant_settings s ON s.tenant_id = t.id
                 ORDER BY t.name, t.id LIMIT p_limit;
END $$;

CREATE FUNCTION scopekit.killed_flags()
    RETURNS TABLE (name text, actor text, reason text, killed_at timestamptz, kept bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT k.name, k.actor, k.reason, k.killed_at,
                        (SELECT count(*) FROM public.flag_kept kept WHERE kept.name = k.name)
                 FROM public.flag_kills k ORDER BY k.name;
END $$;

-- The newest changes, of one tenant or of all.
CREATE FUNCTION scopekit.flag_history(p_tenant_id uuid, p_limit integer)
    RETURNS TABLE (tenant_id uuid, tenant text, name text, before jsonb, after jsonb, actor text, reason text,
                   changed_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT c.tenant_id, t.name, c.name, c.before, c.after, c.actor, c.reason, c.changed_at
                 FROM public.flag_changes c JOIN public.tenants t ON t.id = c.tenant_id
                 WHERE p_tenant_id IS NULL OR c.tenant_id = p_tenant_id
                 ORDER BY c.changed_at DESC LIMIT p_limit;
END $$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.put_flag(jsonb, text[], jsonb)',            'service_role'),
            ('scopekit.nest_flags(jsonb)',                         'service_role'),
            ('scopekit.flag_values(jsonb)',                        'service_role'),
            ('scopekit.hold_flags()',                              'service_role'),
            ('scopekit.keep_flags()',                              'service_role'),
            ('scopekit.note_flags()',                              'service_role'),
            ('scopekit.wake_estimates()',                          'service_role'),
            ('scopekit.tenant_flags(uuid)',                        'scopekit_gateway, service_role'),
            ('scopekit.set_flag(uuid, text, jsonb, text)',         'scopekit_gateway, service_role'),
            ('scopekit.set_flag_everywhere(text, jsonb, text)',    'scopekit_gateway, service_role'),
            ('scopekit.kill_flag(text, text)',                     'scopekit_gateway, service_role'),
            ('scopekit.restore_flag(text, text)',                  'scopekit_gateway, service_role'),
            ('scopekit.flags_of_tenants(integer)',                 'scopekit_gateway, service_role'),
            ('scopekit.killed_flags()',                            'scopekit_gateway, service_role'),
            ('scopekit.flag_history(uuid, integer)',               'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
