-- Feature flags: stored nested, every change written down, and a kill switch that remembers who had the flag on.
--
-- Invariants. Triggers keep them, so they hold for the runbook's own UPDATEs too.
--  1 A flag written flat ("visits.enabled") is stored nested; no flat key is left in any row.
--  2 Each value that changes leaves one row of flag_changes, in the transaction that changed it.
--  3 While a flag is killed no tenant has it on. Tenants that had it on at the kill, or ask for it meanwhile, are in
--    killed_flag_tenants, and no others; the end of the kill turns it on for exactly those.
-- For 3, a writer of flags takes the advisory lock below shared, before any row; a kill or its end takes it alone.

-- What changed, from what to what, by whom and why.
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

-- Flags that are killed now.
CREATE TABLE public.flag_kills (
    name      text PRIMARY KEY,
    actor     text NOT NULL,
    reason    text NOT NULL DEFAULT '',
    killed_at timestamptz NOT NULL DEFAULT now()
);

-- Tenants for which the end of a kill turns the flag on again.
CREATE TABLE public.killed_flag_tenants (
    name      text NOT NULL REFERENCES public.flag_kills ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    PRIMARY KEY (name, tenant_id)
);
CREATE INDEX killed_flag_tenants_of_tenant ON public.killed_flag_tenants (tenant_id);

-- Values --------------------------------------------------------------------------------------------------------------

-- Put a value at a path. Whatever stands in the way and is no object goes.
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

-- Flat keys become paths. A flat key is newer than a nested one, for no flat key is ever stored.
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

-- One tenant's flags; null for a tenant that has none set.
CREATE FUNCTION scopekit.tenant_flags(p_tenant_id uuid) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT feature_flags FROM public.tenant_settings WHERE tenant_id = p_tenant_id
$$;

-- Triggers ------------------------------------------------------------------------------------------------------------

-- Take the lock of invariant 3 before the statement touches any row.
CREATE FUNCTION scopekit.lock_flags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    RETURN NULL;
END $$;

-- Store flags nested, and none that is killed.
CREATE FUNCTION scopekit.normalize_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
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
            INSERT INTO public.killed_flag_tenants (name, tenant_id) VALUES (v_name, NEW.tenant_id)
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

-- Write down what changed.
CREATE FUNCTION scopekit.audit_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
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

-- Tell the relays when it commits: a flag turned off ends streams.
CREATE FUNCTION scopekit.notify_flags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'flags', 'tenant_id', NEW.tenant_id)::text);
    RETURN NULL;
END $$;

-- Estimates that were put off because estimation is off need not wait out their time once it is on.
CREATE FUNCTION scopekit.requeue_held_estimates() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.ai_jobs SET run_at = now()
    WHERE tenant_id = NEW.tenant_id AND status = 'queued' AND error_code = 'turned_off' AND run_at > now();
    IF FOUND THEN
        PERFORM pg_notify('scopekit_queue', '');
    END IF;
    RETURN NULL;
END $$;

-- A flag may be turned on between a worker's reading of it and the commit by which the job is put off. The trigger above
-- does not see that job yet, which would wait ten minutes for nothing. So the flag's row is locked here for reading:
-- either the flag was turned on before, and the job is due at once, or it is turned on after, and finds the job queued.
CREATE FUNCTION scopekit.recheck_flag() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM public.tenant_settings
    WHERE tenant_id = NEW.tenant_id AND feature_flags #> '{visits,ai_estimation_enabled}' = 'true'
    FOR SHARE;
    IF FOUND THEN
        NEW.run_at := now();
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER lock_flags BEFORE INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.lock_flags();
CREATE TRIGGER normalize_flags BEFORE INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW EXECUTE FUNCTION scopekit.normalize_flags();
CREATE TRIGGER audit_flags AFTER INSERT OR UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW EXECUTE FUNCTION scopekit.audit_flags();
CREATE TRIGGER notify_flags AFTER UPDATE OF feature_flags ON public.tenant_settings
    FOR EACH ROW WHEN (OLD.feature_flags IS DISTINCT FROM NEW.feature_flags) EXECUTE FUNCTION scopekit.notify_flags();
CREATE TRIGGER requeue_held_estimates AFTER UPDATE OF feature_flags ON public.tenant_settings FOR EACH ROW
    WHEN (NEW.feature_flags #> '{visits,ai_estimation_enabled}' = 'true'
          AND OLD.feature_flags #> '{visits,ai_estimation_enabled}' IS DISTINCT FROM 'true')
    EXECUTE FUNCTION scopekit.requeue_held_estimates();

-- Operators' actions --------------------------------------------------------------------------------------------------

-- Set a flag of one tenant. Returns its value now; null for an unknown tenant. While the flag is killed, `true` is kept
-- for later, and `false` forgets what was kept.
CREATE FUNCTION scopekit.set_flag(p_tenant_id uuid, p_name text, p_value jsonb, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_now jsonb;
BEGIN
    PERFORM scopekit.begin_action('flag.set', p_name, p_reason,
                                  jsonb_build_object('tenant_id', p_tenant_id, 'to', p_value));
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    INSERT INTO public.tenant_settings (tenant_id) SELECT id FROM public.tenants WHERE id = p_tenant_id
    ON CONFLICT (tenant_id) DO NOTHING;
    DELETE FROM public.killed_flag_tenants WHERE name = p_name AND tenant_id = p_tenant_id;
    UPDATE public.tenant_settings
    SET feature_flags = scopekit.put_flag(feature_flags, string_to_array(p_name, '.'), p_value)
    WHERE tenant_id = p_tenant_id RETURNING feature_flags #> string_to_array(p_name, '.') INTO v_now;
    RETURN v_now;
END $$;

-- Set a flag of every tenant. Returns how many have changed.
CREATE FUNCTION scopekit.set_flag_everywhere(p_name text, p_value jsonb, p_reason text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_path    text[] := string_to_array(p_name, '.');
    v_changed integer;
BEGIN
    PERFORM scopekit.begin_action('flag.set', p_name, p_reason, jsonb_build_object('all_tenants', true, 'to', p_value));
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('scopekit flags', 0));
    INSERT INTO public.tenant_settings (tenant_id) SELECT id FROM public.tenants ON CONFLICT (tenant_id) DO NOTHING;
    DELETE FROM public.killed_flag_tenants WHERE name = p_name;
    UPDATE public.tenant_settings SET feature_flags = scopekit.put_flag(feature_flags, v_path, p_value)
    WHERE feature_flags #> v_path IS DISTINCT FROM p_value;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END $$;

-- Turn a flag off for everybody, and remember who had it on. Returns their number; null when it is killed already.
CREATE FUNCTION scopekit.kill_flag(p_name text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_path text[] := string_to_array(p_name, '.');
BEGIN
    PERFORM scopekit.begin_action('flag.kill', p_name, p_reason);
    PERFORM pg_advisory_xact_lock(hashtextextended('scopekit flags', 0));
    INSERT INTO public.flag_kills (name, actor, reason) VALUES (p_name, scopekit.actor(), p_reason)
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.killed_flag_tenants (name, tenant_id)
    SELECT p_name, tenant_id FROM public.tenant_settings WHERE feature_flags #> v_path = 'true';
    UPDATE public.tenant_settings SET feature_flags = scopekit.put_flag(feature_flags, v_path, 'false')
    WHERE feature_flags #> v_path = 'true';
    RETURN (SELECT count(*) FROM public.killed_flag_tenants WHERE name = p_name);
END $$;

-- End a kill: the flag is on again for the remembered tenants. Returns their number; null when it was not killed.
CREATE FUNCTION scopekit.restore_flag(p_name text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_kept uuid[];
BEGIN
    PERFORM scopekit.begin_action('flag.restore', p_name, p_reason);
    PERFORM pg_advisory_xact_lock(hashtextextended('scopekit flags', 0));
    v_kept := ARRAY(SELECT tenant_id FROM public.killed_flag_tenants WHERE name = p_name);
    DELETE FROM public.flag_kills WHERE name = p_name;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE public.tenant_settings
    SET feature_flags = scopekit.put_flag(feature_flags, string_to_array(p_name, '.'), 'true')
    WHERE tenant_id = ANY (v_kept);
    RETURN cardinality(v_kept);
END $$;

-- What operators see --------------------------------------------------------------------------------------------------

-- Every tenant with its flags, and the killed ones that it gets back.
CREATE FUNCTION scopekit.flags_of_tenants(p_limit integer)
    RETURNS TABLE (tenant_id uuid, tenant text, flags jsonb, kept text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT t.id, t.name, coalesce(s.feature_flags, '{}'),
                        ARRAY(SELECT k.name FROM public.killed_flag_tenants k WHERE k.tenant_id = t.id ORDER BY 1)
                 FROM public.tenants t LEFT JOIN public.tenant_settings s ON s.tenant_id = t.id
                 ORDER BY t.name, t.id LIMIT p_limit;
END $$;

-- Flags that are killed, and how many tenants get each back.
CREATE FUNCTION scopekit.killed_flags()
    RETURNS TABLE (name text, actor text, reason text, killed_at timestamptz, kept bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT k.name, k.actor, k.reason, k.killed_at,
                        (SELECT count(*) FROM public.killed_flag_tenants kept WHERE kept.name = k.name)
                 FROM public.flag_kills k ORDER BY k.name;
END $$;

-- The newest changes, of one tenant or of all.
CREATE FUNCTION scopekit.flag_history(p_tenant_id uuid, p_limit integer)
    RETURNS TABLE (tenant_id uuid, tenant text, name text, before jsonb, after jsonb, actor text, reason text,
                   changed_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT c.tenant_id, t.name, c.name, c.before, c.after, c.actor, c.reason, c.changed_at
                 FROM public.flag_changes c JOIN public.tenants t ON t.id = c.tenant_id
                 WHERE p_tenant_id IS NULL OR c.tenant_id = p_tenant_id
                 ORDER BY c.changed_at DESC LIMIT p_limit;
END $$;
