-- The whole schema. Made of store/schema/*.sql by `python -m store.schema.build`: edit those.

-- Extensions, roles and the Supabase names we lean on, each created only where it is missing, so that the same
-- file runs on plain PostgreSQL 15-18 and on Supabase.

-- Supabase keeps extensions in a schema of their own; elsewhere they live in public.
DO $$
DECLARE
    v_schema text := CASE WHEN to_regnamespace('extensions') IS NULL THEN 'public' ELSE 'extensions' END;
    v_name   text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY['pg_trgm', 'unaccent'] LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', v_name, v_schema);
    END LOOP;
    -- The runbook lists these two; our SQL needs neither, and some servers do not ship them.
    FOR v_name IN SELECT name FROM pg_available_extensions WHERE name IN ('uuid-ossp', 'pgcrypto') LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', v_name, v_schema);
    END LOOP;
END $$;

-- Roles. anon, authenticated and service_role are Supabase's; the two logins are ours. Passwords are the operator's.
DO $$
DECLARE
    v_role record;
BEGIN
    FOR v_role IN
        SELECT * FROM (VALUES
            ('anon',             'NOLOGIN NOINHERIT'),
            ('authenticated',    'NOLOGIN NOINHERIT'),
            ('service_role',     'NOLOGIN NOINHERIT BYPASSRLS'),
            ('scopekit_gateway', 'LOGIN NOINHERIT NOBYPASSRLS'),
            ('scopekit_worker',  'LOGIN NOINHERIT NOBYPASSRLS')
        ) AS wanted(name, attributes)
    LOOP
        IF to_regrole(v_role.name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I %s', v_role.name, v_role.attributes);
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'This login may not create the role "%".', v_role.name
        USING HINT = format('Run as an administrator: CREATE ROLE %I %s; and migrate again. ',
                            v_role.name, v_role.attributes)
                  || 'Where no login may create a role with BYPASSRLS, ask the provider of the database for it.';
END $$;

GRANT anon, authenticated TO scopekit_gateway;
GRANT service_role TO scopekit_worker;
-- The login's own, not a parameter at the start of a connection: a transaction pooler refuses or forgets that one.
ALTER ROLE scopekit_worker SET role = 'service_role';

-- Per role, not ALTER DATABASE: a migration or a dump may need longer than 30 s.
ALTER ROLE scopekit_gateway SET statement_timeout = '30s';
ALTER ROLE scopekit_worker SET statement_timeout = '30s';
ALTER ROLE scopekit_gateway SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE scopekit_worker SET idle_in_transaction_session_timeout = '60s';

-- auth.uid() and auth.jwt() as Supabase defines them.
CREATE SCHEMA IF NOT EXISTS auth;
DO $$
BEGIN
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
            $f$ SELECT coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb, '{}'::jsonb) $f$;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
            $f$ SELECT nullif(auth.jwt() ->> 'sub', '')::uuid $f$;
    END IF;
END $$;
DO $$
BEGIN
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
EXCEPTION WHEN insufficient_privilege THEN NULL;  -- Supabase owns auth and has granted this already.
END $$;

-- uuidv7() is core from 18 on; before that, 48 bits of milliseconds over a random v4 give the same order.
DO $$
BEGIN
    IF to_regprocedure('pg_catalog.uuidv7()') IS NULL AND to_regprocedure('public.uuidv7()') IS NULL THEN
        CREATE FUNCTION public.uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $f$
            SELECT encode(
                set_bit(set_bit(
                    overlay(uuid_send(gen_random_uuid())
                            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                            FROM 1 FOR 6),
                    52, 1), 53, 1), 'hex')::uuid
        $f$;
    END IF;
END $$;

-- Functions behind the tables, each granted by name; Supabase's REST API does not expose this schema.
CREATE SCHEMA IF NOT EXISTS scopekit;
REVOKE ALL ON SCHEMA scopekit FROM PUBLIC;
GRANT USAGE ON SCHEMA scopekit TO scopekit_gateway, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role, scopekit_gateway, scopekit_worker;

-- unaccent() is only STABLE because its dictionary could be swapped; naming the dictionary makes it fit for an index.
DO $$
DECLARE
    v_schema text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                      WHERE e.extname = 'unaccent');
BEGIN
    EXECUTE format(
        $f$ CREATE OR REPLACE FUNCTION public.search_text(p_text text) RETURNS text
            LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS
            'SELECT lower(%1$I.unaccent(''%1$I.unaccent''::regdictionary, p_text))' $f$, v_schema);
END $$;

-- Companies (tenants), their settings and their members.
--
-- Every row of a tenant carries its tenant_id, and composite foreign keys keep a child in its parent's tenant.
-- Invariants stand in the tables as CHECKs and partial unique indexes, not in handlers.

-- A company.
CREATE TABLE public.tenants (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a company has set: its feature flags, money, profile, branding and limits.
CREATE TABLE public.tenant_settings (
    tenant_id        uuid PRIMARY KEY REFERENCES public.tenants ON DELETE CASCADE,
    feature_flags    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(feature_flags) = 'object'),
    currency         text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    tax_rate         numeric(7, 5) NOT NULL DEFAULT 0 CHECK (tax_rate >= 0 AND tax_rate < 1),
    profile          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(profile) = 'object'),
    accent           text CHECK (accent ~ '^#[0-9a-f]{6}$'),  -- its contrast is checked where it is set
    logo_path        text CHECK (logo_path ~ ('^' || tenant_id || '/brand/[0-9a-z]{1,32}$')),
    -- Jobs of this tenant that may run at once; null: the worker's TENANT_CONCURRENCY.
    max_running_jobs integer CHECK (max_running_jobs >= 1),
    -- Cost of a month's model calls in USD; null: the deployment's default.
    model_budget     numeric(10, 2) CHECK (model_budget >= 0),
    -- Where the tenant differs from the deployment's defaults: `media_bytes`, a number.
    limits           jsonb NOT NULL DEFAULT '{}' CHECK (
                         jsonb_typeof(limits) = 'object'
                         AND (NOT limits ? 'media_bytes' OR jsonb_typeof(limits -> 'media_bytes') = 'number')),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenant_settings_capped ON public.tenant_settings (tenant_id) WHERE max_running_jobs IS NOT NULL;

-- Who belongs to a company, and as what. This row is all authority there is: a token only says who is asking.
CREATE TABLE public.memberships (
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL,
    role       text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_of_user ON public.memberships (user_id);

-- Roles in order: 1 viewer, 2 member, 3 admin, 4 owner. Each may do what those before it may.
CREATE FUNCTION scopekit.role_rank(p_role text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT array_position(ARRAY['viewer', 'member', 'admin', 'owner'], p_role) $$;

-- The tenant that the request's token names, if its user has at least this role there now. Null otherwise, and so no row
-- at all. Every policy asks this, and so does every function for tenants that runs with its owner's rights.
CREATE FUNCTION public.current_tenant_id(p_min_role text DEFAULT 'viewer') RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.tenant_id FROM public.memberships m
    WHERE m.tenant_id = nullif(auth.jwt() -> 'app_metadata' ->> 'tenant_id', '')::uuid
      AND m.user_id = nullif(auth.jwt() ->> 'sub', '')::uuid
      AND scopekit.role_rank(m.role) >= scopekit.role_rank(p_min_role)
$$;

-- The role of a user in a tenant; null for one who is no member.
CREATE FUNCTION scopekit.member_role(p_tenant_id uuid, p_user_id uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.role FROM public.memberships m WHERE m.tenant_id = p_tenant_id AND m.user_id = p_user_id
$$;

-- The runbook's own INSERTs name only the visit; the tenant follows from it. A trigger of every table that hangs on one.
CREATE FUNCTION scopekit.fill_tenant_id() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.tenant_id IS NULL THEN
        SELECT tenant_id INTO NEW.tenant_id FROM public.site_visits WHERE id = NEW.visit_id;
    END IF;
    RETURN NEW;
END $$;

-- Gateways hear of it when it commits: what they remember of the user goes, and the streams of a user who may not have
-- them any more end. `role` is null for a removed member.
CREATE FUNCTION scopekit.notify_membership() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR (OLD.tenant_id, OLD.user_id) <> (NEW.tenant_id, NEW.user_id)) THEN
        PERFORM pg_notify('scopekit_control', jsonb_build_object(
            'kind', 'membership', 'tenant_id', OLD.tenant_id, 'user_id', OLD.user_id, 'role', NULL)::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('scopekit_control', jsonb_build_object(
            'kind', 'membership', 'tenant_id', NEW.tenant_id, 'user_id', NEW.user_id, 'role', NEW.role)::text);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER notify_membership AFTER INSERT OR UPDATE OR DELETE ON public.memberships
    FOR EACH ROW EXECUTE FUNCTION scopekit.notify_membership();

-- Which of these users have less than the role named beside them, in the tenant named beside them. A relay asks for the
-- users of its open streams after a time without notifications.
CREATE FUNCTION scopekit.non_members(p_tenant_ids uuid[], p_user_ids uuid[], p_min_roles text[])
    RETURNS TABLE (tenant_id uuid, user_id uuid, min_role text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT asked.tenant_id, asked.user_id, asked.min_role
    FROM unnest(p_tenant_ids, p_user_ids, p_min_roles) AS asked (tenant_id, user_id, min_role)
    WHERE NOT EXISTS (SELECT 1 FROM public.memberships m
                      WHERE m.tenant_id = asked.tenant_id AND m.user_id = asked.user_id
                        AND scopekit.role_rank(m.role) >= scopekit.role_rank(asked.min_role))
$$;

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

-- Site visits, and what the app reports of them.

-- A visit to a site. Its status says how far its estimate is.
CREATE TABLE public.site_visits (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL REFERENCES public.tenants,
    title         text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    customer_name text NOT NULL DEFAULT '' CHECK (length(customer_name) <= 200),
    address       text NOT NULL DEFAULT '' CHECK (length(address) <= 500),
    notes         text NOT NULL DEFAULT '' CHECK (length(notes) <= 20000),
    status        text NOT NULL DEFAULT 'in_progress'
                  CHECK (status IN ('in_progress', 'finalizing', 'completed', 'failed')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX site_visits_newest ON public.site_visits (tenant_id, created_at DESC);

-- What the app reports of its work offline. `upload_failed` with its attempts feeds an alert.
CREATE TABLE public.visit_sync_events (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id  uuid NOT NULL,
    visit_id   uuid NOT NULL,
    event      text NOT NULL CHECK (event <> '' AND length(event) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX visit_sync_events_of_visit ON public.visit_sync_events (visit_id);
CREATE INDEX visit_sync_events_recent ON public.visit_sync_events (event, created_at DESC);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.visit_sync_events
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Set the status of the visits of estimates. Locks them in the order of their ids, as every function does that locks
-- several.
CREATE FUNCTION scopekit.set_visits_status(p_visits uuid[], p_status text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_visits IS NULL THEN
        RETURN;
    END IF;
    PERFORM FROM public.site_visits WHERE id = ANY (p_visits) ORDER BY id FOR NO KEY UPDATE;
    UPDATE public.site_visits SET status = p_status, updated_at = now() WHERE id = ANY (p_visits);
END $$;

-- Photos and recordings of a visit: what is stored, what is on its way, and what is made of it.
--
-- An object is written once and never over. Each attempt to upload a medium has a key of its own below
-- {tenant}/{visit}/{media}, and the row names the attempt that won. So two uploads of one id at once, or a retry beside
-- its own forgotten first try, never leave one's bytes under the other's hash.

-- A stored photo or recording. Its row exists only once the object is durable.
CREATE TABLE public.site_visit_media (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    media_type    text NOT NULL CHECK (media_type IN ('photo', 'audio')),
    content_type  text NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    width         integer CHECK (width > 0),
    height        integer CHECK (height > 0),
    status        text NOT NULL DEFAULT 'stored' CHECK (status IN ('stored', 'needs_attention')),
    problem       text CHECK ((problem IS NULL) = (status = 'stored')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    -- A client's file name never reaches the store.
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '(/[0-9a-z]{1,32})?$'))
);
CREATE INDEX site_visit_media_of_visit ON public.site_visit_media (visit_id, created_at);
-- Not unique: the same photo may hang in two visits, or twice in one.
CREATE INDEX site_visit_media_by_hash ON public.site_visit_media (visit_id, sha256);
-- A tenant's sum is read before each upload, from the index alone.
CREATE INDEX site_visit_media_sizes ON public.site_visit_media (tenant_id) INCLUDE (file_size);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.site_visit_media
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- What was said in a recording.
CREATE TABLE public.transcripts (
    media_id    uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    text        text NOT NULL,
    language    text,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    segments    jsonb NOT NULL DEFAULT '[]',
    words       jsonb NOT NULL DEFAULT '[]',
    engine      text NOT NULL,
    model       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (media_id, tenant_id) REFERENCES public.site_visit_media (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX transcripts_of_visit ON public.transcripts (visit_id);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.transcripts
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Uploads that go straight to the store: promised by a presigned form, media only once they are complete and checked.
CREATE TABLE public.media_uploads (
    id            uuid NOT NULL,  -- the medium's, once it is one
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    content_type  text NOT NULL,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    room          bigint NOT NULL CHECK (room >= file_size),  -- what any form of it may still bring
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX media_uploads_of_visit ON public.media_uploads (visit_id);
CREATE INDEX media_uploads_expired ON public.media_uploads (expires_at);

-- Resumable uploads: how much of a file has been received, durably, so that any gateway may go on with it. Whole parts of
-- 5 MiB lie in an S3 multipart upload; the bytes after the last of them lie in an object of its own, `tail_path`.
-- `received` is the offset the client was given, and never exceeds what these two hold.
CREATE TABLE public.resumable_uploads (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    media_id      uuid NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    content_type  text NOT NULL,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    metadata      text NOT NULL DEFAULT '' CHECK (length(metadata) <= 8192),  -- as the client sent it
    received      bigint NOT NULL DEFAULT 0 CHECK (received BETWEEN 0 AND file_size),
    multipart_id  text,
    etags         text[] NOT NULL DEFAULT '{}',
    tail_path     text,
    writer        uuid,
    writer_until  timestamptz,
    stored_at     timestamptz,
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    UNIQUE (tenant_id, media_id),  -- to ask again is to go on
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || media_id || '/[0-9a-z]{1,32}$')),
    CONSTRAINT tail_lies_beside CHECK (tail_path ~ ('^' || storage_path || '-[0-9a-z]{1,32}$')),
    CONSTRAINT writer_has_a_deadline CHECK ((writer IS NULL) = (writer_until IS NULL)),
    CONSTRAINT stored_when_whole CHECK (stored_at IS NULL OR (received = file_size AND writer IS NULL)),
    -- All but the last part are full; the last one is sent when the file is whole, and then there is no tail.
    CONSTRAINT parts_and_tail_hold_it CHECK (
        CASE WHEN received = file_size
             THEN tail_path IS NULL AND cardinality(etags) = ceil(file_size / 5242880.0)
             ELSE received - 5242880 * cardinality(etags) BETWEEN 0 AND 5242879
                  AND (tail_path IS NULL) = (received = 5242880 * cardinality(etags))
        END),
    CONSTRAINT parts_have_an_upload CHECK (cardinality(etags) = 0 OR multipart_id IS NOT NULL)
);
CREATE INDEX resumable_uploads_of_visit ON public.resumable_uploads (visit_id);
CREATE INDEX resumable_uploads_open ON public.resumable_uploads (tenant_id) WHERE stored_at IS NULL;
CREATE INDEX resumable_uploads_expired ON public.resumable_uploads (expires_at);

-- Recordings that arrive while they are made: chunks in their order, until they are joined into one medium. A chunk with
-- a header of its own is a whole file; one without continues the one before.
CREATE TABLE public.recording_chunks (
    tenant_id    uuid NOT NULL,
    visit_id     uuid NOT NULL,
    recording_id uuid NOT NULL,  -- the medium's, once it is one
    sequence     integer NOT NULL CHECK (sequence BETWEEN 0 AND 9999),
    storage_path text NOT NULL UNIQUE,
    content_type text NOT NULL,
    file_size    bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256       text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    is_whole     boolean NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, recording_id, sequence),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || recording_id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX recording_chunks_of_visit ON public.recording_chunks (visit_id);

-- Discarded recordings: nothing is added to one any more, and a chunk on its way is refused. A row is kept for a month,
-- as long as a phone may have been away with unsent chunks.
CREATE TABLE public.discarded_recordings (
    tenant_id    uuid NOT NULL,
    visit_id     uuid NOT NULL,
    recording_id uuid NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, recording_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX discarded_recordings_of_visit ON public.discarded_recordings (visit_id);

-- Photos whose JPEGs a worker is still to make. A list of its own and not jobs of the queue: each of those speaks on its
-- visit's stream and ends it, counts in the visit's state, the depth and the alerts, and needs a lease because its result
-- may be written once. Here the work may be done twice, and by whichever process asks for it sooner.
CREATE TABLE public.derivative_queue (
    media_id  uuid PRIMARY KEY REFERENCES public.site_visit_media (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES public.tenants (id) ON DELETE CASCADE,
    tries     smallint NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 3),
    due_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX derivative_queue_due ON public.derivative_queue (due_at) WHERE tries < 3;
CREATE INDEX derivative_queue_of_tenant ON public.derivative_queue (tenant_id);

-- In the transaction that gives a photo its row, whoever inserts it.
CREATE FUNCTION scopekit.enqueue_derivatives() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.derivative_queue (media_id, tenant_id) VALUES (NEW.id, NEW.tenant_id);
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_derivatives AFTER INSERT ON public.site_visit_media FOR EACH ROW
    WHEN (NEW.media_type = 'photo' AND NEW.status = 'stored') EXECUTE FUNCTION scopekit.enqueue_derivatives();

-- On Supabase: the private bucket with its limits. Elsewhere the gateway holds the same rules over a plain S3 bucket,
-- and this does not run.
DO $$
BEGIN
    IF to_regclass('storage.buckets') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    VALUES ('site-visits', 'site-visits', false, 104857600, ARRAY[
        'image/jpeg', 'image/png', 'image/webp', 'image/heic', 'image/heif',
        'audio/webm', 'audio/mp4', 'audio/aac', 'audio/mpeg'])
    ON CONFLICT (id) DO UPDATE SET
        public             = EXCLUDED.public,
        file_size_limit    = EXCLUDED.file_size_limit,
        allowed_mime_types = EXCLUDED.allowed_mime_types;
END $$;

-- A company's price book, and its searches.

-- What a company sells, and for how much.
CREATE TABLE public.price_items (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL REFERENCES public.tenants,
    code        text NOT NULL DEFAULT '' CHECK (length(code) <= 64),
    description text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category    text NOT NULL DEFAULT '' CHECK (length(category) <= 100),
    unit        text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price  numeric(12, 2) NOT NULL CHECK (unit_price >= 0),
    active      boolean NOT NULL DEFAULT true,
    search      text GENERATED ALWAYS AS (public.search_text(description)) STORED,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX price_items_of_tenant ON public.price_items (tenant_id, unit);
CREATE INDEX price_items_search ON public.price_items USING gin (search gin_trgm_ops) WHERE active;
CREATE INDEX price_items_head ON public.price_items USING gin (left(search, 100) gin_trgm_ops) WHERE active;
CREATE INDEX price_items_code ON public.price_items (tenant_id, lower(code) text_pattern_ops)
    WHERE active AND code <> '';

-- Both searches answer within a p99 of 20 ms from 50,000 items. The indexes answer in 2 ms; what took 30 was
-- word_similarity(), 3 us a row and twice for each of 3,500 rows when one word of the query is common. So it is left to
-- the rows that nothing cheaper ranks, and few rows pass the operator's threshold.
--
-- A search costs what it may cost, whatever the book: 16,000 descriptions of 490 characters that share their words took
-- 8 s a search, for word_similarity() reads such a text for 330 us. So likeness looks at the first 100 characters, which
-- name the thing, and what is ranked has a bound.
--
-- Under row level security the trigram operators, which are not leakproof, would wait for the tenant's check row by row
-- and never use an index. So the search of the editor is a function that asks for the tenant itself.

-- Loads pg_trgm, wherever it was made, so that an owner without superuser may set its parameter below.
DO $$
BEGIN
    EXECUTE format('SELECT %I.word_similarity($1, $1)', (
        SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'))
    USING '';
END $$;

-- First the items whose code begins with the query (p_code, a LIKE pattern), then those that hold all its words: the
-- phrase as it stands (p_holds) first, then whole words, then short names. p_units NULL: any. Of 20,000 that hold the
-- words, the 1,000 shortest are looked at more closely. Planned for each query anew: which index serves depends on what
-- is rare.
CREATE FUNCTION public.find_price_items(
        p_query text, p_holds text, p_code text, p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_holds  text := public.search_text(p_holds);
    v_code   text := lower(p_code);
    v_words  text[] := regexp_split_to_array(btrim(public.search_text(left(p_code, -1))), '\s+');
    v_each   text[] := ARRAY(SELECT '%' || word || '%' FROM unnest(v_words) AS word);
    v_one    boolean := cardinality(v_words) = 1;
    -- The longest word is the one for the index. Two letters have no trigram of their own: there a word begins by them.
    v_word   text := (SELECT word FROM unnest(v_words) AS word ORDER BY length(word) DESC LIMIT 1);
    v_short  boolean := length(v_word) < 3;
    v_inside text := CASE WHEN v_short THEN '' ELSE '%' END || v_word || '%';
    v_after  text := CASE WHEN v_short THEN '% ' ELSE '%' END || v_word || '%';
    v_coded  boolean;
    v_found  integer;
BEGIN
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND lower(p.code) LIKE v_code AND p.code <> ''
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    ORDER BY lower(p.code) USING ~<~ LIMIT p_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    v_coded := v_found > 0;
    IF v_found = p_limit THEN RETURN; END IF;

    -- A condition that begins with a flag is gone from the plan when the flag is set: a common word has 3,500 rows.
    RETURN QUERY
    WITH holding AS MATERIALIZED (
        SELECT p.id, p.search FROM public.price_items p
        WHERE p.tenant_id = v_tenant AND p.active AND (p.search LIKE v_inside OR p.search LIKE v_after)
          AND (v_one OR p.search LIKE ALL (v_each)) AND (NOT v_coded OR lower(p.code) NOT LIKE v_code)
          AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
        LIMIT 20000
    ), short AS MATERIALIZED (
        SELECT h.id, v_one OR h.search LIKE v_holds AS phrase,
               ' ' || translate(left(h.search, 500), ',;:()', '     ') || ' ' AS words
        FROM (SELECT id, search FROM holding
              ORDER BY v_one OR search LIKE v_holds DESC, length(search), id LIMIT 1000) AS h
    )
    SELECT p.* FROM short s JOIN public.price_items p ON p.id = s.id
    ORDER BY s.phrase DESC, v_short OR s.words LIKE '% ' || v_word || ' %' DESC,
             v_short OR s.words LIKE '% ' || v_word || '%' DESC, length(p.search), p.description, p.id
    LIMIT p_limit - v_found;
END $$;

-- What is missing to p_limit: items that resemble the query, other than those found already. Only when nothing was found
-- at all, some that resemble it less.
CREATE FUNCTION public.resembling_price_items(p_query text, p_found uuid[], p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions, pg_temp SET plan_cache_mode = force_custom_plan
    SET pg_trgm.word_similarity_threshold = 0.7 AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_query  text := left(public.search_text(p_query), 64);  -- what is longer resembles no head of 100
BEGIN
    IF show_trgm(v_query) = '{}' THEN RETURN; END IF;
    RETURN QUERY
    WITH alike AS MATERIALIZED (
        SELECT p.* FROM public.price_items p
        WHERE p.tenant_id = v_tenant AND p.active AND left(p.search, 100) %> v_query AND p.id <> ALL (p_found)
          AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
        LIMIT 500
    )
    SELECT a.* FROM alike a
    ORDER BY word_similarity(v_query, left(a.search, 100)) DESC, length(a.search), a.description, a.id
    LIMIT p_limit;
    IF FOUND OR cardinality(p_found) > 0 THEN RETURN; END IF;

    PERFORM set_config('pg_trgm.word_similarity_threshold', '0.6', true);
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND left(p.search, 100) %> v_query
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    LIMIT p_limit;
END $$;

-- For each wanted phrase the items whose first words hold at least p_covers of it, best first; see price_items.sql.
CREATE FUNCTION public.price_candidates(
        p_tenant uuid, p_keys integer[], p_phrases text[], p_units text[], p_unit_keys integer[],
        p_covers real, p_limit integer)
    RETURNS TABLE (key integer, id uuid, description text, category text, unit text, unit_price numeric,
                   covers real, contained real) LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, extensions, pg_temp SET pg_trgm.word_similarity_threshold = 0.7 AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('pg_trgm.word_similarity_threshold', p_covers::text, true);
    RETURN QUERY
    WITH wanted AS (
        SELECT key, public.search_text(phrase) AS phrase FROM unnest(p_keys, p_phrases) AS w(key, phrase)
    )
    SELECT w.key, c.id, c.description, c.category, c.unit, c.unit_price, c.covers, c.contained
    FROM wanted w CROSS JOIN LATERAL (
        SELECT alike.* FROM (
            SELECT p.id, p.description, p.category, p.unit, p.unit_price,
                   word_similarity(w.phrase, left(p.search, 100)) AS covers,
                   word_similarity(left(p.search, 100), w.phrase) AS contained
            FROM public.price_items p
            WHERE p.tenant_id = p_tenant AND p.active AND left(p.search, 100) %> w.phrase
              AND lower(p.unit) IN (SELECT u.unit FROM unnest(p_units, p_unit_keys) AS u(unit, key) WHERE u.key = w.key)
            OFFSET 0  -- or each similarity is reckoned once for the order and once more for the answer
        ) alike
        ORDER BY alike.covers + alike.contained DESC, alike.id
        LIMIT p_limit
    ) c
    ORDER BY w.key, c.covers + c.contained DESC, c.id;
END $$;

-- Estimates: versions, lines, and what keeps them true.

-- One version of a visit's estimate; an edit makes the next. The figures agree with one another by CHECK, and with the
-- lines by the trigger below.
CREATE TABLE public.estimates (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    visit_id       uuid NOT NULL,
    version        integer NOT NULL CHECK (version >= 1),
    status         text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'accepted', 'declined', 'changes_requested')),
    job_id         uuid,  -- null: made by an edit
    engine         text NOT NULL,
    model          text NOT NULL,
    summary        text NOT NULL DEFAULT '',
    coverage       jsonb NOT NULL DEFAULT '[]',  -- plain sentences: what was and was not looked at
    usage          jsonb NOT NULL DEFAULT '{}',  -- model calls, tokens, cost
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal       numeric(14, 2) NOT NULL CHECK (subtotal >= 0),
    markup_rate    numeric(7, 5) NOT NULL DEFAULT 0 CHECK (markup_rate BETWEEN 0 AND 10),
    markup         numeric(14, 2) NOT NULL DEFAULT 0,
    discount_rate  numeric(7, 5) CHECK (discount_rate BETWEEN 0 AND 1),  -- null: a fixed sum
    discount_fixed numeric(14, 2) NOT NULL DEFAULT 0 CHECK (discount_fixed >= 0),
    discount       numeric(14, 2) NOT NULL DEFAULT 0,
    tax_rate       numeric(7, 5) NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
    tax            numeric(14, 2) NOT NULL,
    total          numeric(14, 2) NOT NULL,
    options        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(options) = 'array'),  -- good, better, best
    chosen_option  text NOT NULL DEFAULT '',  -- its lines are in the totals, with those of no option
    line_count     integer NOT NULL CHECK (line_count >= 1),
    unpriced_count integer NOT NULL,
    content_hash   text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    created_by     uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    UNIQUE (visit_id, version),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT unpriced_are_lines CHECK (unpriced_count BETWEEN 0 AND line_count),
    CONSTRAINT markup_of_subtotal CHECK (markup = round(subtotal * markup_rate, 2)),
    CONSTRAINT discount_of_marked_up CHECK (discount = CASE
        WHEN discount_rate IS NOT NULL THEN round((subtotal + markup) * discount_rate, 2)
        ELSE least(discount_fixed, subtotal + markup) END),
    CONSTRAINT one_kind_of_discount CHECK (discount_rate IS NULL OR discount_fixed = 0),
    CONSTRAINT tax_of_what_is_left CHECK (tax = round((subtotal + markup - discount) * tax_rate, 2)),
    CONSTRAINT total_is_what_is_left_and_tax CHECK (total = subtotal + markup - discount + tax),
    CONSTRAINT chosen_is_an_option CHECK (
        CASE WHEN options = '[]' THEN chosen_option = '' ELSE options ? chosen_option END)
);
CREATE UNIQUE INDEX estimates_one_per_job ON public.estimates (job_id) WHERE job_id IS NOT NULL;
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.estimates
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- A line of an estimate.
CREATE TABLE public.estimate_lines (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    estimate_id    uuid NOT NULL,
    position       integer NOT NULL CHECK (position >= 1),
    description    text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category       text NOT NULL DEFAULT '',
    option         text NOT NULL DEFAULT '' CHECK (length(option) <= 60),  -- '': in every option
    quantity       numeric(12, 3) NOT NULL CHECK (quantity > 0),
    unit           text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price     numeric(12, 2) CHECK (unit_price >= 0),  -- null: unpriced, never a guess and never 0
    amount         numeric(14, 2),
    price_item_id  uuid,
    match          jsonb,
    evidence       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(evidence) = 'array'),
    assumptions    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(assumptions) = 'array'),
    confidence     numeric(4, 3) CHECK (confidence BETWEEN 0 AND 1),
    needs_review   boolean NOT NULL,
    review_reasons jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(review_reasons) = 'array'),
    UNIQUE (estimate_id, position),
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    -- round() on numeric is half away from zero: ROUND_HALF_UP for amounts, which are never negative.
    CONSTRAINT amount_is_quantity_times_price CHECK (amount IS NOT DISTINCT FROM round(quantity * unit_price, 2)),
    CONSTRAINT no_evidence_needs_review CHECK (needs_review OR jsonb_array_length(evidence) > 0)
);

-- At commit an estimate's totals agree with its lines, whoever wrote them: those of no option and of the chosen one.
CREATE FUNCTION public.check_estimate_totals() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_estimate public.estimates;
    v_lines    record;
BEGIN
    SELECT * INTO v_estimate FROM public.estimates
    WHERE id = CASE TG_TABLE_NAME WHEN 'estimates' THEN coalesce(NEW.id, OLD.id) END
       OR id = CASE TG_TABLE_NAME WHEN 'estimate_lines' THEN
               (to_jsonb(coalesce(NEW, OLD)) ->> 'estimate_id')::uuid END;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) AS lines, count(*) FILTER (WHERE amount IS NULL AND counts) AS unpriced,
           coalesce(sum(amount) FILTER (WHERE counts), 0) AS subtotal,
           count(*) FILTER (WHERE NOT offered) AS strays
    INTO v_lines
    FROM (SELECT amount, option IN ('', v_estimate.chosen_option) AS counts,
                 option = '' OR v_estimate.options ? option AS offered
          FROM public.estimate_lines WHERE estimate_id = v_estimate.id) AS line;
    IF (v_estimate.line_count, v_estimate.unpriced_count, v_estimate.subtotal, 0)
       IS DISTINCT FROM (v_lines.lines::integer, v_lines.unpriced::integer, v_lines.subtotal, v_lines.strays::integer)
    THEN
        RAISE EXCEPTION 'estimate % does not agree with its lines', v_estimate.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE ON public.estimates
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();
CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE OR DELETE ON public.estimate_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();

-- A decided version stays as it was decided on, whatever code path asks. An edit makes the next version, which has a
-- share and a decision of its own. A deleted visit takes all of it along.
CREATE FUNCTION scopekit.freeze_decided_estimate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.site_visits v
                                        WHERE v.id = (to_jsonb(OLD) ->> 'visit_id')::uuid) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
END $$;

-- So do its lines.
CREATE FUNCTION scopekit.freeze_decided_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The line's estimate before and after; in a cascade it is gone already.
    IF EXISTS (SELECT 1 FROM public.estimates e
               WHERE e.status <> 'draft' AND e.id IN (OLD.estimate_id, NEW.estimate_id)) THEN
        RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;

CREATE TRIGGER freeze_decided_estimate BEFORE UPDATE OR DELETE ON public.estimates
    FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION scopekit.freeze_decided_estimate();
CREATE TRIGGER freeze_decided_lines BEFORE INSERT OR UPDATE OR DELETE ON public.estimate_lines
    FOR EACH ROW EXECUTE FUNCTION scopekit.freeze_decided_lines();

-- Events of a visit, and the streams that carry them to browsers.
--
-- The table is the interface: whoever inserts into processing_events reaches every subscriber of the visit. Numbering and
-- notification happen here, in the inserting transaction, so that no writer can forget either.
--
-- A number is given once, over crashes too. A commit that does not wait for its flush (synchronous_commit off, as
-- progress has it) reaches the relays at once, and a crash may take it back: visit_streams then stands behind what clients
-- have seen, and numbers given again would be passed over. So after a crash the numbers of each visit leap, once, over any
-- that may have been seen.
--
-- How a crash shows: an unlogged sequence is back in its initial state after crash recovery, and on a promoted standby or
-- a restored base backup, where commits may be missing just so; a clean stop keeps it. From the first event after that it
-- has a new value, the time in microseconds: the epoch. Each stream has in `epoch` the value it was last written under.

-- The epoch of this database.
CREATE UNLOGGED SEQUENCE scopekit.stream_epoch;
SELECT setval('scopekit.stream_epoch', 1);

-- One row per visit, all that opening a stream reads: its last number, and what last happened to which job. Its lock, held
-- to commit, makes the order of seq the order of commits. It is rewritten with every event and has no index on what
-- changes: room on the page keeps that in place.
CREATE TABLE public.visit_streams (
    visit_id  uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    last_seq  bigint NOT NULL DEFAULT 0,
    job_id    uuid,
    job_event text,
    epoch     bigint NOT NULL DEFAULT 1,
    -- The last number before each leap. There is one more with each crash that a visit lives to see: a client that was
    -- away over two crashes may have seen what the first of them took back. Numbers that may have been lost go from a
    -- gap + 1 up to the gap + 2^20.
    epoch_gaps bigint[] NOT NULL DEFAULT '{}',
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- What happened on a visit, in order. An event's visit is that of its stream: every INSERT of an event writes the stream's
-- row, whose tenant must be the event's and whose foreign key says that the visit is there, and holds it to the commit. A
-- foreign key of the event's own would ask the same once more: 4 us of each event.
CREATE TABLE public.processing_events (
    visit_id   uuid NOT NULL,
    seq        bigint NOT NULL,  -- given by the trigger; the SSE id
    tenant_id  uuid NOT NULL,
    job_id     uuid,
    type       text NOT NULL CHECK (type ~ '^[a-z_]+(\.[a-z_]+)*$' AND length(type) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether its visit's stream ends with it; an INSERT that leaves it out gets what scopekit.ends_stream() says.
    ends_stream boolean NOT NULL,
    PRIMARY KEY (visit_id, seq)
);

-- Single-use keys to one visit's stream, for an EventSource, which cannot send a header. Unlogged: they live 30 s.
CREATE UNLOGGED TABLE public.progress_tickets (
    ticket_hash bytea PRIMARY KEY CHECK (length(ticket_hash) = 32),
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    claims      jsonb NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX progress_tickets_expired ON public.progress_tickets (expires_at);

-- What goes out -------------------------------------------------------------------------------------------------------

-- The event as it goes out, on one line and made once: NOTIFY carries it, a replay repeats it byte for byte, and the
-- relay reads only what stands before the payload. jsonb has no raw line break, no U+0000 (its own input refuses the
-- escape \u0000, so such a payload must be cleaned by its writer) and no lone surrogate.
CREATE FUNCTION scopekit.event_document(p_event public.processing_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"visit_id":"' || p_event.visit_id || '","seq":' || p_event.seq
        || ',"job_id":' || coalesce('"' || p_event.job_id || '"', 'null')
        || ',"type":"' || p_event.type || '","payload":' || p_event.payload
        || ',"created_at":' || coalesce('"' || to_char(p_event.created_at AT TIME ZONE 'UTC',
                                                       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        || '}'
$$;

-- What NOTIFY carries of an event: all of it, or only its number where the document does not fit into 8,000 bytes. With
-- casts: an IMMUTABLE function is not inlined while it calls something STABLE, as text || uuid is.
CREATE FUNCTION scopekit.event_notification(p_visit_id uuid, p_seq bigint, p_document text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(p_document) < 7900 THEN p_document
                ELSE '{"visit_id":"' || p_visit_id::text || '","seq":' || p_seq::text || '}' END
$$;

-- Numbering -----------------------------------------------------------------------------------------------------------

-- Give the row the next number of its visit, whatever number it came with, and notify the relays when it commits. The
-- visit's row in visit_streams stays locked to the end of the transaction. A writer in REPEATABLE READ or SERIALIZABLE may
-- therefore have to repeat its transaction.
CREATE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_of_job   CONSTANT boolean := NEW.type LIKE 'job.%';
    v_epoch    bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_written  bigint;
    v_document text;
BEGIN
    IF NEW.ends_stream IS NULL THEN
        NEW.ends_stream := NEW.type IN ('job.completed', 'job.failed', 'job.cancelled')
                           AND scopekit.ends_stream(NEW.type, NEW.job_id);
    END IF;
    IF v_epoch IS NULL THEN  -- two who come here at once make two epochs, and a few streams leap twice
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN v_of_job THEN NEW.type END, v_epoch)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq  = stream.last_seq + 1,
        job_id    = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        job_event = CASE WHEN v_of_job THEN NEW.type ELSE stream.job_event END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq, stream.epoch INTO NEW.seq, v_written;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_written <> v_epoch OR (NEW.seq = 1 AND v_epoch > 1 AND EXISTS (  -- the crash may have taken the whole stream
        SELECT 1 FROM public.site_visits v
        WHERE v.id = NEW.visit_id AND v.created_at < to_timestamp(v_epoch / 1000000.0))) THEN
        NEW.seq := scopekit.advance_epoch(NEW.visit_id, v_epoch);
    END IF;
    IF pg_sequence_last_value('scopekit.bus_transport') > 2 THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) VALUES (NEW.visit_id, NEW.seq);
    END IF;
    IF pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2 THEN
        v_document := scopekit.event_document(NEW);
        PERFORM pg_notify('processing_events', scopekit.event_notification(NEW.visit_id, NEW.seq, v_document));
    END IF;
    RETURN NEW;
END $$;

-- Move a stream to this epoch and return the next number. More than 2^20 events of one visit cannot be lost:
-- wal_writer_delay is at most 10 s, three of which may be missing, and the database takes 19,000 events a second.
-- The commit waits for its flush: were this undone by another crash, the numbers after the leap would be given twice.
CREATE FUNCTION scopekit.advance_epoch(p_visit_id uuid, p_epoch bigint) RETURNS bigint LANGUAGE sql
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
    UPDATE public.visit_streams
    SET epoch_gaps = epoch_gaps || (last_seq - 1), last_seq = last_seq + 1048576, epoch = p_epoch
    WHERE visit_id = p_visit_id
    RETURNING last_seq
$$;

-- Insert an event of this type for each of these visits, in their order, with its tenant, job and payload: numbered,
-- notified and locked as the trigger does it, but by one statement. One by one each event took 37 us of the 55 that a job
-- of a bulk enqueue took. Where a visit comes twice, the trigger does it.
--
-- Of more than p_whole events only the numbers are sent, many to a notification, a line each; relays read the events of
-- visits that somebody watches. One by one, a statement that queued 30,000 jobs held the loop of every gateway up for
-- 30,000 calls, and was itself a tenth slower.
CREATE FUNCTION scopekit.bulk_append_events(p_type text, p_visits uuid[], p_tenants uuid[], p_jobs uuid[],
                                            p_payloads jsonb[], p_whole integer DEFAULT 1000)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    c_lines  CONSTANT integer := 100;  -- of 78 bytes: NOTIFY takes less than 8,000
    v_epoch  bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_of_job CONSTANT boolean := p_type LIKE 'job.%';
    v_final  CONSTANT boolean := p_type IN ('job.completed', 'job.failed', 'job.cancelled');
    v_whole  CONSTANT boolean := cardinality(p_visits) <= p_whole;
    v_locked uuid[];
    v_seqs   bigint[];
    v_epochs bigint[];
    v_notify boolean;
    v_bus    boolean;
    v_messages text[];
BEGIN
    IF cardinality(p_visits) < 2 OR cardinality(p_visits) > (SELECT count(DISTINCT id) FROM unnest(p_visits) AS v(id)) THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
        SELECT visit_id, tenant_id, job_id, p_type, payload
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads) AS e(visit_id, tenant_id, job_id, payload);
        RETURN;
    END IF;
    IF v_epoch IS NULL THEN
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    WITH stream AS (
        INSERT INTO public.visit_streams AS s (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
        SELECT visit_id, tenant_id, 1, CASE WHEN v_of_job THEN job_id END, CASE WHEN v_of_job THEN p_type END, v_epoch
        FROM unnest(p_visits, p_tenants, p_jobs) AS e(visit_id, tenant_id, job_id)
        ON CONFLICT (visit_id) DO UPDATE SET
            last_seq  = s.last_seq + 1,
            job_id    = CASE WHEN v_of_job THEN EXCLUDED.job_id ELSE s.job_id END,
            job_event = CASE WHEN v_of_job THEN p_type ELSE s.job_event END
        WHERE s.tenant_id = EXCLUDED.tenant_id
        RETURNING visit_id, last_seq, epoch
    )
    SELECT array_agg(visit_id), array_agg(last_seq), array_agg(epoch) INTO v_locked, v_seqs, v_epochs FROM stream;
    IF v_locked IS DISTINCT FROM p_visits THEN
        RAISE EXCEPTION 'some of these visits are not of the tenants named' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_epoch > 1 OR v_epoch <> ANY (v_epochs) THEN
        v_seqs := ARRAY(
            SELECT CASE WHEN t.epoch <> v_epoch OR v.created_at < to_timestamp(v_epoch / 1000000.0)
                        THEN scopekit.advance_epoch(t.visit_id, v_epoch) ELSE t.seq END
            FROM unnest(p_visits, v_seqs, v_epochs) WITH ORDINALITY AS t(visit_id, seq, epoch, place)
            LEFT JOIN LATERAL (SELECT created_at FROM public.site_visits WHERE id = t.visit_id) AS v ON t.seq = 1
            ORDER BY place);
    END IF;
    PERFORM set_config('scopekit.numbering', 'on', true);  -- in a SET clause it would take a superuser
    v_notify := pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2;
    v_bus := pg_sequence_last_value('scopekit.bus_transport') > 2;
    IF v_notify AND v_whole THEN
        WITH new AS (
            INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq, ends_stream)
            SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND scopekit.ends_stream(p_type, job_id)
            FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs) AS e(visit_id, tenant_id, job_id, payload, seq)
            RETURNING visit_id, seq, processing_events AS event
        )
        SELECT array_agg(scopekit.event_notification(visit_id, seq, scopekit.event_document(event))) INTO v_messages
        FROM new;
    ELSE
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq, ends_stream)
        SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND scopekit.ends_stream(p_type, job_id)
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs) AS e(visit_id, tenant_id, job_id, payload, seq);
    END IF;
    IF v_notify AND NOT v_whole THEN
        v_messages := ARRAY(SELECT string_agg(scopekit.event_notification(visit_id, seq, NULL), E'\n')
                         FROM unnest(p_visits, v_seqs) WITH ORDINALITY AS e(visit_id, seq, place)
                         GROUP BY place / c_lines);
    END IF;
    IF v_bus THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) SELECT * FROM unnest(p_visits, v_seqs);
    END IF;
    IF v_notify THEN  -- as a part of an expression: a function in FROM keeps each answer in a file of its own
        v_notify := bool_and(pg_notify('processing_events', message) IS NOT NULL) FROM unnest(v_messages) AS w(message);
    END IF;
    PERFORM set_config('scopekit.numbering', '', true);
END $$;

-- An event keeps its visit, its number and its tenant.
CREATE FUNCTION scopekit.forbid_event_rekey() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'event % of visit % keeps its visit, its number and its tenant', OLD.seq, OLD.visit_id
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Insert another event.';
END $$;

-- Events go with their visit. This comes after the cascades, and so after that to the stream, which waits for whoever is
-- writing an event: then it is seen here. A writer that begins after that finds the stream gone, and no visit for another.
-- A session keeps the plan of its first deletion, so that must suit one visit as well as thousands: by key, whatever the
-- statistics say.
CREATE FUNCTION scopekit.delete_visit_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM public.processing_events WHERE visit_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END $$;

-- A TRUNCATE that names both tables has the events already, and would not let go of them.
CREATE FUNCTION scopekit.truncate_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.processing_events) THEN
        TRUNCATE public.processing_events;
    END IF;
    RETURN NULL;
END $$;

-- Triggers fire in the order of their names: fill_tenant, which finds the tenant, before number_event. It costs 3 us of
-- each insert, so it is called only where the tenant is missing.
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.processing_events FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();
-- Only a writer that may write visit_streams, and says so, as bulk_append_events does, numbers events without the
-- trigger.
CREATE TRIGGER number_event BEFORE INSERT ON public.processing_events
    FOR EACH ROW WHEN (NEW.seq IS NULL OR current_setting('scopekit.numbering', true) IS DISTINCT FROM 'on'
                       OR NOT has_table_privilege('public.visit_streams'::regclass, 'UPDATE'))
    EXECUTE FUNCTION scopekit.number_event();
CREATE TRIGGER forbid_event_rekey BEFORE UPDATE ON public.processing_events FOR EACH ROW
    WHEN ((OLD.visit_id, OLD.seq, OLD.tenant_id) IS DISTINCT FROM (NEW.visit_id, NEW.seq, NEW.tenant_id))
    EXECUTE FUNCTION scopekit.forbid_event_rekey();
CREATE TRIGGER delete_visit_events AFTER DELETE ON public.site_visits REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.delete_visit_events();
CREATE TRIGGER truncate_events AFTER TRUNCATE ON public.site_visits
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.truncate_events();

-- What relays read ----------------------------------------------------------------------------------------------------

-- The events after a position, in order: at most p_limit, and at most a megabyte unless the first alone is larger.
CREATE FUNCTION scopekit.events_after(p_visit_id uuid, p_after bigint, p_limit integer)
    RETURNS TABLE (seq bigint, document text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT page.seq, page.document
    FROM (
        SELECT found.seq, found.document,
               sum(octet_length(found.document)) OVER (ORDER BY found.seq) AS bytes,
               row_number() OVER (ORDER BY found.seq) AS number
        FROM (
            SELECT e.seq, scopekit.event_document(e) AS document
            FROM public.processing_events e
            WHERE e.visit_id = p_visit_id AND e.seq > p_after
            ORDER BY e.seq
            LIMIT least(greatest(p_limit, 1), 1000)
        ) AS found
    ) AS page
    WHERE page.bytes <= 1048576 OR page.number = 1
    ORDER BY page.seq
$$;

-- Where streams stand and leapt, and whether their tenants may have them; a deleted visit has no row.
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, job_event text, enabled boolean, epoch_gaps bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.job_event,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false),
           coalesce(s.epoch_gaps, '{}')
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

-- What a first connection starts from: the position, then what the latest job has done up to there. One statement is
-- one snapshot, so nothing can fall between the two. Each step of this attempt is {status, done, total, ms}.
CREATE FUNCTION scopekit.stream_snapshot(p_visit_id uuid)
    RETURNS TABLE (last_seq bigint, job_id uuid, job_event text, steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH stream AS (
        SELECT s.last_seq, s.job_id, s.job_event FROM public.visit_streams s WHERE s.visit_id = p_visit_id
    ), of_job AS (
        SELECT e.seq, e.type, e.payload FROM public.processing_events e JOIN stream ON stream.job_id = e.job_id
        WHERE e.visit_id = p_visit_id
    ), of_attempt AS (
        SELECT * FROM of_job
        WHERE seq > coalesce((SELECT max(seq) FROM of_job WHERE type IN ('job.queued', 'job.started')), 0)
    ), step AS (
        SELECT payload ->> 'step' AS name,
               jsonb_build_object(
                   'status', CASE WHEN bool_or(type = 'step.completed') THEN 'completed' ELSE 'running' END,
                   'done',  (array_agg(payload -> 'done' ORDER BY seq DESC) FILTER (WHERE payload ? 'done'))[1],
                   'total', (array_agg(payload -> 'total' ORDER BY seq DESC) FILTER (WHERE payload ? 'total'))[1],
                   'ms',    (array_agg(payload -> 'ms' ORDER BY seq DESC) FILTER (WHERE payload ? 'ms'))[1]) AS state
        FROM of_attempt WHERE type LIKE 'step.%' AND payload ->> 'step' IS NOT NULL GROUP BY 1
    )
    SELECT coalesce((SELECT stream.last_seq FROM stream), 0),
           (SELECT stream.job_id FROM stream),
           (SELECT stream.job_event FROM stream),
           coalesce((SELECT jsonb_object_agg(name, state) FROM step), '{}')
$$;

-- What streams are opened with, in one round trip: whether this tenant has streams, whether the visit is its own, where
-- the visit's stream stands and leapt and, when asked for, what its latest job has done up to there. A row for each visit
-- asked for. The tenant is the verified token's; the comparison is the one that the policies make. With a
-- user, the first row has the tenant's members as well, 500 at most, this user before all others.
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, epoch_gaps bigint[],
                   job_id uuid, job_event text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0),
           coalesce(s.epoch_gaps, '{}'), s.job_id, s.job_event,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

-- Take a ticket, once: the row is gone with the answer, and so are all that nobody came for.
CREATE FUNCTION scopekit.redeem_ticket(p_hash bytea)
    RETURNS TABLE (tenant_id uuid, visit_id uuid, claims jsonb) LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    WITH swept AS (
        DELETE FROM public.progress_tickets t WHERE t.expires_at < now() - interval '1 minute' AND t.ticket_hash <> p_hash
    ), taken AS (
        DELETE FROM public.progress_tickets t WHERE t.ticket_hash = p_hash RETURNING t.*
    )
    SELECT taken.tenant_id, taken.visit_id, taken.claims FROM taken WHERE taken.expires_at > clock_timestamp()
$$;

-- A second way for events to the relays, for fleets that NOTIFY holds up: it locks the whole database to the end of each
-- commit, and wakes every listener for every event. By this way the trigger only notes the row; one process of the fleet,
-- the bus leader, takes what was committed since its last look and puts it on a stream that all gateways read.
--
-- Both ways are open while gateways of both kinds run. A way that is opened is so at once, for the trigger reads
-- sequences, which are not of any snapshot, and it reads them when its transaction has its number. So what was running
-- when a way was opened may go by without it, and nothing that began later: whoever opens one waits for the former.
-- Unlogged: after a crash, a promotion or a restored base backup there is NOTIFY alone, until a bus leader comes back.

-- State of each way: 1 as in a new database; 2 closed; 3 being opened; beyond that the transaction by which it was opened.
CREATE UNLOGGED SEQUENCE scopekit.notify_transport;
CREATE UNLOGGED SEQUENCE scopekit.bus_transport;
SELECT setval('scopekit.notify_transport', 1), setval('scopekit.bus_transport', 1);

-- What was inserted, for the bus leader. Written once, read once by transaction number, and cleared every second; the
-- table of events is the truth, so this one needs no WAL.
CREATE UNLOGGED TABLE scopekit.event_outbox (
    xact     xid8   NOT NULL DEFAULT pg_current_xact_id(),
    visit_id uuid   NOT NULL,
    seq      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX event_outbox_xact ON scopekit.event_outbox (xact);

-- Open a way. Returns the transaction by which it was opened: transactions that ran then may have gone by without it.
-- A dump brings the sequences along, and not the count of transactions: a number that this database has not come to is
-- another's, and whoever waited for it would wait for ever.
CREATE FUNCTION scopekit.enable_transport(p_transport regclass) RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_opened CONSTANT bigint := pg_sequence_last_value(p_transport);
BEGIN
    IF v_opened > 3 AND v_opened < pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN v_opened;
    END IF;
    PERFORM setval(p_transport, 3);  -- whoever finds it so, because this session ended here, opens it once more
    RETURN setval(p_transport, pg_current_xact_id()::text::bigint);
END $$;

-- This session listens: as long as it lives, NOTIFY is not closed. Returns by which transaction it was opened; 0: always.
CREATE FUNCTION scopekit.register_listener() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(hashtextextended('scopekit listeners', 0));
    IF coalesce(pg_sequence_last_value('scopekit.notify_transport'), 1) = 1 THEN
        RETURN 0;
    END IF;
    RETURN scopekit.enable_transport('scopekit.notify_transport');
END $$;

-- Whether there is a bus leader.
CREATE FUNCTION scopekit.bus_has_leader() RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT pg_try_advisory_xact_lock_shared(hashtextextended('scopekit bus leader', 0))
$$;

-- Make this session the leader's, as long as it lives. Returns by which transaction its way was opened; null when there
-- is another.
CREATE FUNCTION scopekit.lead_bus() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT pg_try_advisory_lock(hashtextextended('scopekit bus leader', 0)) THEN
        RETURN NULL;
    END IF;
    RETURN scopekit.enable_transport('scopekit.bus_transport');
END $$;

-- What this snapshot shows and the one before did not: exactly what was committed in between, however long it ran. What a
-- snapshot did not show is all from its end on, and every transaction running in it: so nothing is looked at again,
-- however long an open transaction keeps it from being cleared. What no transaction of this database has written yet came
-- with a dump. Of a visit it is the next numbers, for they are in the order of commits. More than p_limit is cut off.
CREATE FUNCTION scopekit.committed_since(p_since pg_snapshot, p_limit integer)
    RETURNS TABLE (snapshot pg_snapshot, notifications text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT pg_current_snapshot(),
           coalesce(array_agg(scopekit.event_notification(visit_id, seq, document) ORDER BY seq), '{}')
    FROM (
        SELECT e.visit_id, e.seq, scopekit.event_document(e) AS document
        FROM (
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact >= pg_snapshot_xmax(p_since) AND xact < pg_snapshot_xmax(pg_current_snapshot())
            UNION ALL
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact = ANY (ARRAY(SELECT pg_snapshot_xip(p_since)))
        ) AS o JOIN public.processing_events e ON e.visit_id = o.visit_id AND e.seq = o.seq
        LIMIT p_limit
    ) AS found
$$;

-- Clear what was taken up to a snapshot, and close NOTIFY once nobody listens any more. What has heaped up is cleared
-- piece by piece: the bus leader waits 2 s for an answer, not longer.
CREATE FUNCTION scopekit.maintain_bus(p_since pg_snapshot) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM scopekit.event_outbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM scopekit.event_outbox WHERE xact < pg_snapshot_xmin(p_since) LIMIT 50000));
    IF pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2
       AND pg_try_advisory_xact_lock(hashtextextended('scopekit listeners', 0)) THEN
        PERFORM setval('scopekit.notify_transport', 2);
    END IF;
END $$;

-- Close the leader's way when there is no bus leader any more, and open NOTIFY again. Returns whether that was so.
CREATE FUNCTION scopekit.disable_bus() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF coalesce(pg_sequence_last_value('scopekit.bus_transport'), 1) = 1
       OR NOT pg_try_advisory_xact_lock(hashtextextended('scopekit bus leader', 0)) THEN
        RETURN false;
    END IF;
    PERFORM scopekit.enable_transport('scopekit.notify_transport');
    PERFORM setval('scopekit.bus_transport', 1);
    DELETE FROM scopekit.event_outbox;
    RETURN true;
END $$;

-- The queue's tables, and how jobs get in.
--
-- Lifecycle: queued -> running -> completed | failed | cancelled; a retry is queued with a later run_at. Each move is one
-- function and one transaction, here and in queue_claims.sql, queue_moves.sql and dead_letters.sql.
--
-- Invariants
--   1. A job is in exactly one place: a row of ai_jobs, or (dead-lettered) a waiting row of ai_jobs_dlq.
--   2. A running job has one lease token, given by the claim that started it. Every write of a worker names the
--      token and locks the job's row first; when the token is no longer there it changes nothing and says so.
--   3. A job is claimed by one worker at a time (SKIP LOCKED), never before run_at, never while its type is paused.
--   4. attempts counts claims; a hand-back or a snooze refunds its own. A failure at attempts >= max_attempts
--      (null: 3) dead-letters, and so does the third lost lease.
--   5. A move and its event commit together; a result, its final event, its analytics and the work's own rows too.
--   6. After a cancel was accepted a job never completes. Final states never change; a redrive starts a dead job anew.
--   7. Only the database's clock counts.
--   8. Locks are taken in one order: job rows, then by visit id the visit and its stream. Sets of jobs are taken with
--      SKIP LOCKED.

-- The jobs. A queued job has a turn when it stands in line; without one its time has not come yet (a retry that waits, a
-- job for later), so that no claim steps over it. When it is due it joins the line like a new one.
-- Every job leaves two dead versions behind, and the default of 20 % would let them pile up to a fifth of all jobs ever.
CREATE TABLE public.ai_jobs (
    id                  uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id           uuid NOT NULL,
    visit_id            uuid NOT NULL,
    job_type            text NOT NULL,
    status              text NOT NULL DEFAULT 'queued'
                        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    priority            smallint NOT NULL DEFAULT 0,
    attempts            integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts        integer CHECK (max_attempts BETWEEN 1 AND 25),  -- null means 3
    lost_leases         integer NOT NULL DEFAULT 0 CHECK (lost_leases >= 0),
    payload             jsonb NOT NULL DEFAULT '{}',
    result              jsonb,
    last_error          text,
    error_code          text,
    idempotency_key     text CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    correlation_id      text,
    trace_context       text CHECK (trace_context ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),  -- W3C
    run_at              timestamptz NOT NULL DEFAULT now(),
    turn                bigint,
    lease_token         uuid,
    lease_expires_at    timestamptz,
    worker              text,
    cancel_requested_at timestamptz,
    created_by          uuid,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT leased_iff_running CHECK (
        (status = 'running') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT finished_iff_final CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT result_iff_completed CHECK ((status = 'completed') = (result IS NOT NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX ai_jobs_one_active ON public.ai_jobs (visit_id, job_type) WHERE status IN ('queued', 'running');
CREATE UNIQUE INDEX ai_jobs_idempotency ON public.ai_jobs (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ai_jobs_of_visit ON public.ai_jobs (visit_id, created_at DESC);
CREATE INDEX ai_jobs_finished ON public.ai_jobs (finished_at DESC) WHERE status = 'completed';
-- By an expression, so that no planner takes this index for the question of ai_jobs_turns and steps over all tenants.
CREATE INDEX ai_jobs_in_line ON public.ai_jobs ((-priority::integer), turn, id)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX ai_jobs_turns ON public.ai_jobs (tenant_id, priority, turn) WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX ai_jobs_later ON public.ai_jobs (run_at) WHERE status = 'queued' AND turn IS NULL;
-- Not by expiry: few jobs run at a time, and a renewal then touches no index (a HOT update).
CREATE INDEX ai_jobs_running ON public.ai_jobs (tenant_id) WHERE status = 'running';

-- Dead letters: jobs that failed for good, until an operator retries or discards them.
CREATE TABLE public.ai_jobs_dlq (
    id              uuid PRIMARY KEY DEFAULT uuidv7(),
    original_job_id uuid NOT NULL,
    tenant_id       uuid NOT NULL,
    visit_id        uuid NOT NULL,
    job_type        text NOT NULL,
    last_error      text,
    error_code      text,
    attempts        integer NOT NULL,
    payload         jsonb NOT NULL DEFAULT '{}',
    job             jsonb NOT NULL DEFAULT '{}',  -- the whole row as it stood, so that a redrive loses nothing
    moved_at        timestamptz NOT NULL DEFAULT now(),
    retried_at      timestamptz,
    -- A discarded letter counts as dealt with (retried_at) everywhere; to its tenant the job stays failed.
    discarded_at    timestamptz,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT discarded_is_dealt_with CHECK (discarded_at IS NULL OR retried_at IS NOT NULL)
);
-- A redriven job keeps its id and may die again: at most one waiting row each.
CREATE UNIQUE INDEX ai_jobs_dlq_waiting ON public.ai_jobs_dlq (original_job_id) WHERE retried_at IS NULL;
CREATE INDEX ai_jobs_dlq_of_visit ON public.ai_jobs_dlq (visit_id);
CREATE INDEX ai_jobs_dlq_newest ON public.ai_jobs_dlq (moved_at DESC);
CREATE INDEX ai_jobs_dlq_idempotency ON public.ai_jobs_dlq (tenant_id, (job ->> 'idempotency_key'));
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.ai_jobs_dlq
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Checkpoints: what a rescued job does not do again. No key to ai_jobs, whose row moves to the DLQ and back.
CREATE TABLE public.job_steps (
    job_id     uuid NOT NULL,
    step       text NOT NULL,
    item       text NOT NULL DEFAULT '',
    tenant_id  uuid NOT NULL REFERENCES public.tenants,
    visit_id   uuid NOT NULL,
    value      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, step, item),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX job_steps_of_visit ON public.job_steps (visit_id);
CREATE INDEX job_steps_of_tenant ON public.job_steps (tenant_id, created_at);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.job_steps
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

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

-- Switches of the queue, one row a name: a job type, `all`, or an engine's breaker (`engine:openai`). A pause may end by
-- itself at `until`.
--
-- A breaker is open while its row is paused and `until` lies ahead: then no job is claimed that names the engine. When
-- `until` has passed it is half open: claims go on with one job at a time, the probe. A probe that completes closes it
-- (the row goes); one that fails in the same way opens it again for longer.
CREATE TABLE public.queue_control (
    name        text PRIMARY KEY,
    paused      boolean NOT NULL DEFAULT false,
    reason      text NOT NULL DEFAULT '',
    until       timestamptz,
    opened      integer NOT NULL DEFAULT 0 CHECK (opened >= 0),
    -- A pause for good that is put over one with an end (a rollback's over an operator's) gives it back when it is over.
    held_reason text,
    held_until  timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT held_pause_has_an_end CHECK ((held_reason IS NULL) = (held_until IS NULL))
);

-- Periodic tasks, each once per tick whichever worker comes first, with Redis or without.
CREATE TABLE public.periodic_tasks (
    name    text PRIMARY KEY,
    done_at timestamptz NOT NULL
);

-- Getting in ----------------------------------------------------------------------------------------------------------

-- Whoever enqueues, with whatever INSERT, one job or ten thousand: the visits' subscribers and the workers are notified.
-- It writes what its caller, who may only queue jobs, must not.
CREATE FUNCTION scopekit.notify_enqueued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    PERFORM scopekit.bulk_append_events(
        'job.queued', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(CASE WHEN turn IS NULL
                  THEN jsonb_build_object('correlation_id', coalesce(correlation_id, id::text), 'run_at', run_at)
                  ELSE jsonb_build_object('correlation_id', coalesce(correlation_id, id::text)) END))
    FROM (SELECT * FROM enqueued WHERE status = 'queued' ORDER BY visit_id) AS job HAVING count(*) > 0;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;

-- After fill_tenant: triggers fire in the order of their names. Called only where the tenant is missing: 3 us.
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();
CREATE TRIGGER notify_enqueued AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS enqueued
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.notify_enqueued();
CREATE TRIGGER recheck_flag BEFORE UPDATE OF status ON public.ai_jobs FOR EACH ROW
    WHEN (OLD.status = 'running' AND NEW.status = 'queued' AND NEW.error_code = 'turned_off')
    EXECUTE FUNCTION scopekit.recheck_flag();

-- Small helpers -------------------------------------------------------------------------------------------------------

-- A moment as events carry it.
CREATE FUNCTION scopekit.iso(p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- A job whose request sent no id goes by its own.
CREATE FUNCTION scopekit.correlation(p_job public.ai_jobs) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object('correlation_id', coalesce(p_job.correlation_id, p_job.id::text)) $$;

-- The id under which everything about a job is found, wherever its row is; each reader sees what RLS lets it see.
CREATE FUNCTION scopekit.job_correlation(p_job_id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT correlation_id FROM public.ai_jobs WHERE id = p_job_id),
                    (SELECT job ->> 'correlation_id' FROM public.ai_jobs_dlq WHERE original_job_id = p_job_id
                     ORDER BY moved_at DESC LIMIT 1),
                    p_job_id::text)
$$;

-- Append one event of a job, with its correlation id.
CREATE FUNCTION scopekit.append_event(p_job public.ai_jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    VALUES (p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload || scopekit.correlation(p_job));
END $$;

-- Whether an event ends its visit's stream, where its writer does not say so: the final event of an estimate, or of a job
-- that the queue does not know.
CREATE FUNCTION scopekit.ends_stream(p_type text, p_job_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_type IN ('job.completed', 'job.failed', 'job.cancelled') AND coalesce(
        (SELECT job_type = 'estimate' FROM public.ai_jobs WHERE id = p_job_id),
        (SELECT job_type = 'estimate' FROM public.ai_jobs_dlq WHERE original_job_id = p_job_id AND retried_at IS NULL),
        true)
$$;

-- min(2^(attempt - 1), 16) s, times 0.7 to 1.3: as `jobs/retry.py` has it; a test holds the two together.
CREATE FUNCTION scopekit.backoff(p_attempt integer, p_random double precision) RETURNS interval
    LANGUAGE sql IMMUTABLE AS
    $$ SELECT make_interval(secs => power(2, least(p_attempt, 5) - 1) * (0.7 + 0.6 * p_random)) $$;

-- What callers see ----------------------------------------------------------------------------------------------------

-- 1 for the next in line; counts to 1000. Null when it is not in line, or is not this tenant's.
CREATE FUNCTION scopekit.queue_position(p_job_id uuid) RETURNS integer LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs
    WHERE id = p_job_id AND tenant_id = public.current_tenant_id() AND status = 'queued' AND turn IS NOT NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN 1 + (SELECT count(*) FROM (
        SELECT 1 FROM public.ai_jobs
        WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now() AND id <> p_job_id
          AND (-priority::integer, turn, id) < (-v_job.priority::integer, v_job.turn, v_job.id)
        ORDER BY -priority::integer, turn, id LIMIT 999) AS ahead);
END $$;

-- What a job looks like from outside, wherever its row is; each reader sees what RLS lets it see.
CREATE VIEW scopekit.job_statuses WITH (security_invoker = true) AS
SELECT id, tenant_id, visit_id, job_type, status, attempts, coalesce(max_attempts, 3) AS max_attempts,
       CASE status WHEN 'queued' THEN scopekit.queue_position(id) END AS position,
       run_at, created_at, started_at, finished_at, last_error, error_code, result,
       cancel_requested_at IS NOT NULL AS cancel_requested, idempotency_key,
       extract(epoch FROM run_at - now())::double precision AS due_in_s
FROM public.ai_jobs
UNION ALL
SELECT original_job_id, tenant_id, visit_id, job_type, 'failed', attempts,
       coalesce((job ->> 'max_attempts')::integer, 3), NULL,
       coalesce((job ->> 'run_at')::timestamptz, moved_at), coalesce((job ->> 'created_at')::timestamptz, moved_at),
       (job ->> 'started_at')::timestamptz, moved_at, last_error, error_code, NULL,
       job ->> 'cancel_requested_at' IS NOT NULL, job ->> 'idempotency_key', NULL
FROM public.ai_jobs_dlq WHERE retried_at IS NULL OR discarded_at IS NOT NULL;

-- How these jobs have ended so far: for the trigger route, which watches jobs of every tenant.
CREATE FUNCTION scopekit.job_outcomes(p_ids uuid[])
    RETURNS TABLE (job_id uuid, visit_id uuid, status text, result jsonb, error text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id, visit_id, status, result, last_error FROM public.ai_jobs WHERE id = ANY (p_ids)
    UNION ALL
    SELECT original_job_id, visit_id, 'failed', NULL, last_error FROM public.ai_jobs_dlq
    WHERE original_job_id = ANY (p_ids) AND retried_at IS NULL
$$;

-- What is paused now.
CREATE FUNCTION scopekit.paused_types() RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(name), '{}') FROM public.queue_control
    WHERE paused AND (until IS NULL OR until > now())
$$;

-- The next in line, and behind them those that have come due since the last claim.
CREATE FUNCTION scopekit.due_jobs(p_limit integer) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT next.id FROM (
        (SELECT id, 0 AS later, row_number() OVER (ORDER BY -priority::integer, turn, id) AS place FROM public.ai_jobs
         WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY -priority::integer, turn, id LIMIT p_limit)
        UNION ALL
        (SELECT id, 1, row_number() OVER (ORDER BY run_at) FROM public.ai_jobs
         WHERE status = 'queued' AND turn IS NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY run_at LIMIT p_limit)
    ) AS next ORDER BY next.later, next.place LIMIT p_limit
$$;

-- Pauses and breakers -------------------------------------------------------------------------------------------------

-- Pause a name, until a time or for good.
CREATE FUNCTION scopekit.pause_queue(p_name text, p_reason text DEFAULT '', p_until timestamptz DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until) VALUES (p_name, true, p_reason, p_until)
    ON CONFLICT (name) DO UPDATE SET paused = true, reason = excluded.reason, until = excluded.until, updated_at = now();
END $$;

-- Resuming what is not paused changes nothing; workers are notified, so that they do not wait for their next look.
CREATE FUNCTION scopekit.resume_queue(p_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_found boolean;
BEGIN
    DELETE FROM public.queue_control WHERE name = p_name;
    v_found := FOUND;
    PERFORM pg_notify('scopekit_queue', '');
    RETURN v_found;
END $$;

-- Everything that is or was paused and not resumed: open, half_open (a breaker whose time is over) or over.
CREATE FUNCTION scopekit.queue_switches()
    RETURNS TABLE (name text, state text, reason text, until timestamptz) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.name,
           CASE WHEN c.until IS NULL OR c.until > now() THEN CASE WHEN c.name LIKE 'engine:%' THEN 'open' ELSE 'paused' END
                WHEN c.name LIKE 'engine:%' THEN 'half_open' ELSE 'over' END,
           c.reason, c.until
    FROM public.queue_control AS c WHERE c.paused ORDER BY c.name
$$;

-- Open an engine's breaker: for p_base, and twice as long each time it opens again before a probe has succeeded, up to an
-- hour. While it is open already (several jobs failed at once) nothing changes. Returns when it may be tried again.
CREATE FUNCTION scopekit.open_breaker(p_engine text, p_reason text, p_base interval) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until, opened)
    VALUES ('engine:' || p_engine, true, p_reason, now() + p_base, 1)
    ON CONFLICT (name) DO UPDATE
        SET until = now() + least(p_base * power(2, least(c.opened, 10)), greatest(p_base, interval '1 h')),
            opened = c.opened + 1, paused = true, reason = excluded.reason, updated_at = now()
        WHERE c.until <= now() OR NOT c.paused;
    SELECT until INTO v_until FROM public.queue_control WHERE name = 'engine:' || p_engine;
    RETURN v_until;
END $$;

-- The probe has completed: the trouble is over. A job that completes while the breaker is open proves nothing, as it may
-- have asked the engine before.
CREATE FUNCTION scopekit.close_breaker(p_engine text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM public.queue_control WHERE name = 'engine:' || p_engine AND until <= now())
           AND scopekit.resume_queue('engine:' || p_engine);
END $$;

-- Take a periodic task for this tick; false when another worker has it already. The row stays locked to the end of the
-- transaction that does the task: when that fails, the tick is not used up. A tick is a whole multiple of p_every, by the
-- database's clock.
CREATE FUNCTION scopekit.claim_periodic_task(p_name text, p_every interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_tick timestamptz := date_bin(p_every, now(), 'epoch');
BEGIN
    INSERT INTO public.periodic_tasks AS c (name, done_at) VALUES (p_name, now())
    ON CONFLICT (name) DO UPDATE SET done_at = now() WHERE c.done_at < v_tick;
    RETURN FOUND;
END $$;

-- The line: which job is next, found in the same time whatever lies before, behind or dead in between.
--
-- Fairness between tenants is start-time fair queueing without state: a job's turn is one after its tenant's last waiting
-- job, but never before the turn now being served. Ten thousand jobs of one tenant stand one behind the other; the first
-- job of any other stands beside the front.
--
-- Plans are kept for a session's life, and a worker that waits makes them before there is a job: for an empty table that
-- is a scan of all of it, until the first ANALYZE. Every claim then read the whole table, 19 ms at 15,000 jobs. So each
-- statement names the ids it wants (`id = ANY (...)`), and none may scan. plpgsql also weighs each time whether a plan for
-- just these values would be better: of the 1.0 ms of a claim 0.4 ms were planning. What these functions look for has one
-- good plan whatever the values (force_generic_plan).

-- The turn now served, of jobs of ordinary priority (0). A hint, and therefore a sequence: it is written in place, while
-- a row rewritten at every claim would leave dead versions that an old transaction elsewhere keeps everybody stepping
-- over; the same transaction keeps the claimed jobs in the index, and this is from where a claim need not see them.
CREATE SEQUENCE scopekit.turn_served AS bigint MINVALUE 0 START 0;

-- Turns ---------------------------------------------------------------------------------------------------------------

-- The turn now served at a priority.
CREATE FUNCTION scopekit.current_turn(p_priority smallint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_priority = 0 THEN
        RETURN (SELECT last_value FROM scopekit.turn_served);
    END IF;
    RETURN coalesce((SELECT turn FROM public.ai_jobs
                     WHERE status = 'queued' AND turn IS NOT NULL AND -priority::integer = -p_priority::integer
                     ORDER BY turn LIMIT 1), 0);
END $$;

-- Let the front go on to a turn; never back.
CREATE FUNCTION scopekit.advance_turn(p_turn bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_turn > (SELECT last_value FROM scopekit.turn_served) THEN
        PERFORM setval('scopekit.turn_served', p_turn);
    END IF;
END $$;

-- One after the tenant's last waiting job, but never before the turn now served. Volatile, to see the rows that the same
-- INSERT has made before this one. Planned for its one index whatever the statistics say: with those of an empty queue
-- it would be a sequential scan for every row of a large INSERT.
CREATE FUNCTION scopekit.next_turn(p_tenant_id uuid, p_priority smallint) RETURNS bigint LANGUAGE plpgsql
    SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_current bigint := scopekit.current_turn(p_priority);
BEGIN
    RETURN greatest(v_current, (
        SELECT turn + 1 FROM public.ai_jobs
        WHERE status = 'queued' AND tenant_id = p_tenant_id AND priority = p_priority AND turn >= v_current
        ORDER BY turn DESC LIMIT 1));
END $$;

-- Give a new job its turn. The last turn given stands in a setting of the transaction: looked up for each row of a large
-- INSERT it was 15 of the 57 us that the row takes. A transaction that goes on for long gives turns that have been served
-- by then, and those are found by the look everywhere. The assignment is no statement of its own, as with PERFORM: that
-- took a third of its time.
CREATE FUNCTION scopekit.set_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_lane CONSTANT text := NEW.tenant_id || '/' || NEW.priority || '/';
    v_last text := current_setting('scopekit.last_turn', true);
BEGIN
    IF NEW.run_at > now() THEN
        NEW.turn := NULL;
        RETURN NEW;
    END IF;
    NEW.turn := CASE WHEN starts_with(v_last, v_lane) THEN substr(v_last, length(v_lane) + 1)::bigint + 1
                     ELSE scopekit.next_turn(NEW.tenant_id, NEW.priority) END;
    v_last := set_config('scopekit.last_turn', v_lane || NEW.turn, true);
    RETURN NEW;
END $$;

CREATE TRIGGER set_turn BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN (NEW.status = 'queued')
    EXECUTE FUNCTION scopekit.set_turn();

-- Let up to p_limit jobs whose time has come join the line; returns how many did. Nearly always none is due: it ends there.
CREATE FUNCTION scopekit.promote_due_jobs(p_limit integer) RETURNS integer LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_due CONSTANT uuid[] := ARRAY(
        SELECT id FROM public.ai_jobs WHERE status = 'queued' AND turn IS NULL AND run_at <= now()
        ORDER BY run_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
BEGIN
    IF cardinality(v_due) = 0 THEN
        RETURN 0;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT id, tenant_id, priority, run_at FROM public.ai_jobs WHERE id = ANY (v_due)
    ), ends AS MATERIALIZED (
        SELECT tenant_id, priority, scopekit.next_turn(tenant_id, priority) AS turn FROM due GROUP BY 1, 2
    ), placed AS (
        SELECT due.id, ends.turn - 1 + row_number() OVER (
                   PARTITION BY tenant_id, priority ORDER BY due.run_at, due.id) AS turn
        FROM due JOIN ends USING (tenant_id, priority)
    )
    UPDATE public.ai_jobs AS j SET turn = placed.turn FROM placed WHERE j.id = placed.id AND j.id = ANY (v_due);
    RETURN cardinality(v_due);
END $$;

-- Claiming ------------------------------------------------------------------------------------------------------------

-- The cap: at every commit a tenant has at most as many jobs running as its cap allows. Only a claim raises that number,
-- so capped claims are made one after the other (an advisory lock held to commit; each then sees what the last one took),
-- and none takes more than what is left. Everything else only lowers it.
CREATE FUNCTION scopekit.has_tenant_caps(p_cap integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_cap IS NOT NULL OR EXISTS (SELECT FROM public.tenant_settings WHERE max_running_jobs IS NOT NULL)
$$;

-- How many more jobs of a tenant may start.
CREATE FUNCTION scopekit.free_slots(p_tenant_id uuid, p_cap integer) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT max_running_jobs FROM public.tenant_settings WHERE tenant_id = p_tenant_id), p_cap)
           - (SELECT count(*) FROM public.ai_jobs WHERE status = 'running' AND tenant_id = p_tenant_id);
END $$;

-- How many jobs may be claimed at a time as far as this engine goes: null any number, 0 no estimate, 1 the probe.
CREATE FUNCTION scopekit.engine_slots(p_engine text) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_until timestamptz;
BEGIN
    SELECT coalesce(until, 'infinity') INTO v_until FROM public.queue_control
    WHERE name = 'engine:' || p_engine AND paused;
    RETURN CASE WHEN NOT FOUND THEN NULL
                WHEN v_until > now() OR EXISTS (
                    SELECT FROM public.ai_jobs WHERE status = 'running' AND job_type = 'estimate') THEN 0
                ELSE 1 END;
END $$;

-- Lock the next up to p_limit jobs in line, from a turn on where the priority is the ordinary one.
-- Planned for this one index whatever the statistics say: taken while the queue was empty, they would have the planner
-- sort a hundred thousand jobs at every claim.
CREATE FUNCTION scopekit.lock_next_jobs(p_limit integer, p_from bigint, p_paused text[], p_full uuid[])
    RETURNS TABLE (id uuid, tenant_id uuid, priority smallint, turn bigint) LANGUAGE plpgsql
    SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    v_lane record;
    v_left integer := p_limit;
    v_rows integer;
BEGIN
    FOR v_lane IN VALUES (-32767, -1, 0::bigint), (0, 0, p_from), (1, 32768, 0) LOOP
        EXIT WHEN v_left <= 0;
        RETURN QUERY
            SELECT j.id, j.tenant_id, j.priority, j.turn FROM public.ai_jobs AS j
            WHERE j.status = 'queued' AND -j.priority::integer BETWEEN v_lane.column1 AND v_lane.column2
              AND j.turn >= v_lane.column3 AND j.run_at <= now()
              AND j.job_type <> ALL (p_paused) AND j.tenant_id <> ALL (p_full)
            ORDER BY -j.priority::integer, j.turn, j.id LIMIT v_left FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
    END LOOP;
END $$;

-- Start up to p_limit of the next in line, of each tenant as many as it has room for. `full_tenants` are those that had
-- none left for a job seen here; `first` and `last` are the turns seen at ordinary priority.
CREATE FUNCTION scopekit.start_next_jobs(p_limit integer, p_from bigint, p_paused text[], p_full uuid[],
                                         p_capped boolean, p_cap integer, p_worker text, p_lease interval,
                                         OUT ids uuid[], OUT full_tenants uuid[], OUT first bigint, OUT last bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(array_agg(f.id) FILTER (WHERE f.nth <= f.free), '{}'),
           coalesce(array_agg(DISTINCT f.tenant_id) FILTER (WHERE f.nth > f.free), '{}'),
           min(f.turn) FILTER (WHERE f.priority = 0), max(f.turn) FILTER (WHERE f.priority = 0)
    INTO ids, full_tenants, first, last FROM (
        SELECT n.*, row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.priority DESC, n.turn, n.id) AS nth,
               CASE WHEN p_capped THEN coalesce(scopekit.free_slots(n.tenant_id, p_cap), p_limit) ELSE p_limit END AS free
        FROM scopekit.lock_next_jobs(p_limit, p_from, p_paused, p_full) AS n
    ) AS f;
    UPDATE public.ai_jobs
    SET status = 'running', attempts = attempts + 1, lease_token = gen_random_uuid(),
        lease_expires_at = now() + p_lease, worker = p_worker, started_at = now()
    WHERE id = ANY (ids);
END $$;

-- Start up to p_limit due jobs: priority, then turn (fairness between tenants), then age; of a tenant no more than its
-- cap allows. p_engine makes this worker's estimates: while its breaker is open none is claimed, and one at a time while
-- it is half open. With p_everywhere false it looks only from the turn now served on, and may miss a job whose transaction
-- was open while others were served; a worker that asks like that asks everywhere every second or two.
--
-- The commit does not wait for its flush. A crash of the server may take the claim back, and with it the token: the job
-- is queued as it was, its worker's writes change nothing, and the next claim gives the same attempt its number again.
-- Whatever is written under the token reaches the disk after the claim, because WAL has one order; so no result, retry
-- or dead letter outlives its claim.
CREATE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                     p_lease interval DEFAULT interval '60 s', p_cap integer DEFAULT NULL,
                                     p_everywhere boolean DEFAULT true, p_engine text DEFAULT NULL)
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c_slack  CONSTANT integer := 64;  -- turns served while an INSERT may still be on its way to its commit
    v_capped CONSTANT boolean := scopekit.has_tenant_caps(p_cap);
    v_slots  integer := scopekit.engine_slots(p_engine);
    v_limit  integer := p_limit;
    v_paused text[] := scopekit.paused_types();
    v_current CONSTANT bigint := scopekit.current_turn(0::smallint);
    v_full   uuid[] := '{}';
    v_ids    uuid[] := '{}';
    v_first  bigint;
    v_some   record;
BEGIN
    IF 'all' = ANY (v_paused) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF v_capped OR v_slots IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7263118205);
        -- A worker that freezes before its COMMIT must not hold up everybody's claims: it loses this one.
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
        v_slots := scopekit.engine_slots(p_engine);
        v_limit := CASE v_slots WHEN 1 THEN least(p_limit, 1) ELSE p_limit END;
        v_paused := CASE v_slots WHEN 0 THEN v_paused || 'estimate'::text ELSE v_paused END;
    END IF;
    PERFORM scopekit.promote_due_jobs(100);
    LOOP  -- Once; and once more for every tenant that is found full.
        SELECT * INTO v_some FROM scopekit.start_next_jobs(
            v_limit - cardinality(v_ids), CASE WHEN p_everywhere THEN 0 ELSE v_current - c_slack END,
            v_paused, v_full, v_capped, p_cap, p_worker, p_lease);
        v_ids := v_ids || v_some.ids;
        v_full := v_full || v_some.full_tenants;
        v_first := least(v_first, v_some.first);
        EXIT WHEN cardinality(v_some.full_tenants) = 0 OR cardinality(v_ids) >= v_limit;
    END LOOP;
    -- Past a tenant that waits for its cap the front does not move; where nobody is left in line it goes on by one.
    IF cardinality(v_full) = 0 THEN
        PERFORM scopekit.advance_turn(CASE WHEN cardinality(v_ids) < v_limit THEN v_some.last + 1 ELSE v_first END);
    END IF;
    PERFORM scopekit.bulk_append_events(
        'job.started', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(jsonb_build_object('attempt', attempts, 'worker', worker,
                                     'correlation_id', coalesce(correlation_id, id::text))))
    FROM (
        WITH started AS MATERIALIZED (SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids))
        SELECT * FROM started ORDER BY visit_id
    ) AS started HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- What happens to a job after its claim: a worker's moves, a tenant's, and the sweeper's.

-- A worker's moves ----------------------------------------------------------------------------------------------------

-- Lock a job for its worker; null when the lease is lost.
CREATE FUNCTION scopekit.lock_leased_job(p_job_id uuid, p_token uuid) RETURNS public.ai_jobs LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs WHERE id = p_job_id AND lease_token = p_token FOR UPDATE;
    RETURN v_job;
END $$;

-- Extend all leases of one process; returns those it still holds. A row that another session is writing at this moment
-- is held but extended only the next time: one slow commit must not hold up the others. A token is of one attempt at one
-- job, so that no pairs need be compared.
CREATE FUNCTION scopekit.renew_leases(p_jobs uuid[], p_tokens uuid[], p_lease interval)
    RETURNS TABLE (job_id uuid, cancel_requested boolean) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    UPDATE public.ai_jobs SET lease_expires_at = now() + p_lease
    WHERE id = ANY (ARRAY(SELECT id FROM public.ai_jobs WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens)
                          FOR UPDATE SKIP LOCKED));
    RETURN QUERY SELECT id, cancel_requested_at IS NOT NULL FROM public.ai_jobs
                 WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens);
END $$;

-- Append events [{type, payload}, ...] in order; false when the lease is lost. `p_relaxed` may lose the last few to
-- a power cut and spares each of them a disk write: for progress only.
CREATE FUNCTION scopekit.append_events(p_job_id uuid, p_token uuid, p_events jsonb, p_relaxed boolean DEFAULT false)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    IF p_relaxed THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT v_job.visit_id, v_job.tenant_id, v_job.id, event.value ->> 'type', event.value -> 'payload'
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS event(value, position) ORDER BY event.position;
    RETURN true;
END $$;

-- Keep a step's value; false when the lease is lost.
CREATE FUNCTION scopekit.put_checkpoint(p_job_id uuid, p_token uuid, p_step text, p_item text, p_value jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO public.job_steps (job_id, step, item, tenant_id, visit_id, value)
    VALUES (p_job_id, p_step, p_item, v_job.tenant_id, v_job.visit_id, p_value)
    ON CONFLICT (job_id, step, item) DO UPDATE SET value = excluded.value, created_at = now();
    RETURN true;
END $$;

-- First statement of the finishing transaction: 'held', 'cancelled' (a cancel was accepted first) or 'lost'.
CREATE FUNCTION scopekit.begin_completion(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    RETURN CASE WHEN v_job.id IS NULL THEN 'lost' WHEN v_job.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'held' END;
END $$;

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each token: completed, cancelled (a cancel was accepted first; left as it
-- is) or lost. Two attempts at one job may stand in one batch; a token is of one attempt, so all that follows goes by it.
CREATE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, token uuid, answer text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_ids       CONSTANT uuid[] := ARRAY(SELECT d.id FROM jsonb_to_recordset(p_done) AS d(id uuid));
    v_tokens    CONSTANT uuid[] := ARRAY(SELECT d.token FROM jsonb_to_recordset(p_done) AS d(token uuid));
    v_held      uuid[];
    v_cancelled uuid[];
    v_estimates uuid[];
    v_visits    uuid[];
    v_tenants   uuid[];
    v_jobs      uuid[];
    v_payloads  jsonb[];
BEGIN
    SELECT array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NULL),
           array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NOT NULL),
           array_agg(l.visit_id) FILTER (WHERE l.cancel_requested_at IS NULL AND l.job_type = 'estimate')
    INTO v_held, v_cancelled, v_estimates FROM (
        SELECT lease_token, cancel_requested_at, visit_id, job_type FROM public.ai_jobs
        WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens)
        ORDER BY id FOR UPDATE) AS l;
    PERFORM scopekit.set_visits_status(v_estimates, 'completed');
    WITH finished AS (
        UPDATE public.ai_jobs AS j
        SET status = 'completed', result = d.result, finished_at = clock_timestamp(), last_error = NULL,
            error_code = NULL, lease_token = NULL, lease_expires_at = NULL
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid, result jsonb, analytics jsonb)
        WHERE j.id = d.id AND j.lease_token = d.token AND j.id = ANY (v_ids) AND j.lease_token = ANY (v_held)
        RETURNING j.*, d.analytics
    ), forgotten AS (
        DELETE FROM public.job_steps AS s USING finished AS f WHERE s.job_id = f.id
    ), counted AS (
        INSERT INTO public.analytics_events (event, properties, tenant_id, user_id)
        SELECT f.analytics ->> 'event', coalesce(f.analytics -> 'properties', '{}'), f.tenant_id, f.created_by
        FROM finished AS f WHERE f.analytics ->> 'event' IS NOT NULL
    )
    SELECT array_agg(f.visit_id), array_agg(f.tenant_id), array_agg(f.id),
           array_agg(f.result || jsonb_build_object('correlation_id', coalesce(f.correlation_id, f.id::text)))
    INTO v_visits, v_tenants, v_jobs, v_payloads FROM (SELECT * FROM finished ORDER BY visit_id) AS f;
    IF v_visits IS NOT NULL THEN
        PERFORM scopekit.bulk_append_events('job.completed', v_visits, v_tenants, v_jobs, v_payloads);
    END IF;
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;

-- One job is a set of one.
CREATE FUNCTION scopekit.complete_job(p_job_id uuid, p_token uuid, p_result jsonb, p_analytics jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT answer = 'completed' FROM scopekit.complete_jobs(jsonb_build_array(jsonb_build_object(
        'id', p_job_id, 'token', p_token, 'result', p_result, 'analytics', p_analytics))));
END $$;

-- The worker could not finish. Without p_delay another try makes no sense; p_refund gives the attempt back.
-- Returns the state the job is in now: queued, failed or cancelled; null when the lease is lost.
CREATE FUNCTION scopekit.fail_job(p_job_id uuid, p_token uuid, p_error text, p_code text, p_delay interval,
                                  p_refund boolean DEFAULT false)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job    public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
    v_run_at timestamptz;
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    ELSIF p_delay IS NULL OR (v_job.attempts >= coalesce(v_job.max_attempts, 3) AND NOT p_refund) THEN
        PERFORM scopekit.dead_letter_job(v_job, p_error, p_code);
        RETURN 'failed';
    END IF;
    v_job.last_error := p_error;
    v_job.error_code := p_code;
    v_run_at := scopekit.requeue_job(v_job, v_job.attempts - p_refund::integer, p_delay);
    PERFORM scopekit.append_event(v_job, 'job.retrying', jsonb_build_object(
        'error', p_error, 'attempt', v_job.attempts, 'run_at', scopekit.iso(v_run_at)));
    RETURN 'queued';
END $$;

-- Hand a job back unharmed, as at shutdown. Returns as fail_job does.
CREATE FUNCTION scopekit.release_job(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    END IF;
    PERFORM scopekit.requeue_job(v_job, v_job.attempts - 1, interval '0');
    PERFORM scopekit.append_event(v_job, 'job.released');
    RETURN 'queued';
END $$;

-- The worker has stopped because of a cancel. Returns as fail_job does.
CREATE FUNCTION scopekit.finish_cancelled(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM scopekit.cancel_locked_job(v_job);
    RETURN 'cancelled';
END $$;

-- A tenant's move, as the user, who may not write ai_jobs -------------------------------------------------------------

-- Cancel at once when queued; else notify the worker, which stops within half a second. Final jobs stay as they are.
-- Returns the state the job is in now; null when it is not this tenant's or not there.
CREATE FUNCTION scopekit.cancel_job(p_job_id uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs WHERE id = p_job_id AND tenant_id = public.current_tenant_id('member')
    FOR UPDATE;
    IF v_job.status = 'queued' THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    ELSIF v_job.status = 'running' THEN
        UPDATE public.ai_jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()) WHERE id = p_job_id;
        PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'cancel', 'job_id', p_job_id)::text);
    END IF;
    RETURN v_job.status;
END $$;

-- Ways out of running or queued; the caller has locked the rows -------------------------------------------------------
-- What leaves the queue leaves it in sets: a sweep frees the hundred leases of a dead host in a few statements.

-- Back into the queue, due after p_delay. Returns when.
CREATE FUNCTION scopekit.requeue_job(p_job public.ai_jobs, p_attempts integer, p_delay interval)
    RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_run_at timestamptz := now() + p_delay;
BEGIN
    UPDATE public.ai_jobs
    SET status = 'queued', attempts = greatest(p_attempts, 0), run_at = v_run_at, last_error = p_job.last_error,
        error_code = p_job.error_code, lost_leases = p_job.lost_leases, lease_token = NULL, lease_expires_at = NULL,
        turn = CASE WHEN p_delay <= interval '0' THEN scopekit.current_turn(p_job.priority) END
    WHERE id = p_job.id;
    RETURN v_run_at;
END $$;

-- Cancelled: its checkpoints go, and what they cost is kept.
CREATE FUNCTION scopekit.cancel_locked_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
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
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs)
    WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.cancelled', scopekit.correlation(j) FROM unnest(p_jobs) AS j
    ORDER BY j.visit_id;
END $$;

-- One job is a set of one.
CREATE FUNCTION scopekit.cancel_locked_job(p_job public.ai_jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.cancel_locked_jobs(ARRAY[p_job]);
END $$;

-- The workers are gone: each job waits its backoff, with the attempt spent and the loss counted.
CREATE FUNCTION scopekit.requeue_lost(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.released', scopekit.correlation(j) FROM unnest(p_jobs) AS j
    ORDER BY j.visit_id;
END $$;

-- Sweeping ------------------------------------------------------------------------------------------------------------

-- Free up to p_limit expired leases, let as many due jobs join the line, and count the jobs that wait for a worker. What
-- becomes of each is decided first, then the visits of all are locked in the order of their ids, the visits before the
-- streams, as every transaction that locks several does.
CREATE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_expired   CONSTANT public.ai_jobs[] := ARRAY(
        SELECT j FROM public.ai_jobs AS j WHERE status = 'running' AND lease_expires_at < now()
        ORDER BY lease_expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    v_visits    CONSTANT uuid[] := ARRAY(SELECT visit_id FROM unnest(v_expired));
    v_cancelled public.ai_jobs[] := '{}';
    v_dead      public.ai_jobs[] := '{}';
    v_again     public.ai_jobs[] := '{}';
    v_job       public.ai_jobs;
BEGIN
    FOREACH v_job IN ARRAY v_expired LOOP
        v_job.lost_leases := v_job.lost_leases + 1;
        IF v_job.cancel_requested_at IS NOT NULL THEN
            v_cancelled := v_cancelled || v_job;
        ELSIF v_job.lost_leases >= 3 OR v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
            v_job.last_error := format('The worker stopped in the middle of this job, %s time(s).', v_job.lost_leases);
            v_job.error_code := 'worker_lost';
            v_dead := v_dead || v_job;
        ELSE
            v_again := v_again || v_job;
        END IF;
    END LOOP;
    PERFORM FROM public.site_visits WHERE id = ANY (v_visits) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM public.visit_streams WHERE visit_id = ANY (v_visits) ORDER BY visit_id FOR NO KEY UPDATE;
    PERFORM scopekit.cancel_locked_jobs(v_cancelled), scopekit.dead_letter_jobs(v_dead), scopekit.requeue_lost(v_again);
    PERFORM scopekit.promote_due_jobs(p_limit);
    requeued := cardinality(v_again); dead := cardinality(v_dead); cancelled := cardinality(v_cancelled);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.ai_jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

-- Delete finished jobs older than p_keep, and checkpoints that no job is left to read. Events stay as long as their visit:
-- a stream's history is read from its beginning. Returns how many rows went, at most about p_limit of each kind.
CREATE FUNCTION scopekit.prune(p_keep interval, p_limit integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_jobs  integer;
    v_steps integer;
BEGIN
    DELETE FROM public.ai_jobs WHERE id IN (
        SELECT id FROM public.ai_jobs WHERE status IN ('completed', 'cancelled') AND finished_at < now() - p_keep
        LIMIT p_limit FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_jobs = ROW_COUNT;
    DELETE FROM public.job_steps AS s WHERE s.created_at < now() - p_keep
        AND NOT EXISTS (SELECT FROM public.ai_jobs AS j WHERE j.id = s.job_id)
        AND NOT EXISTS (SELECT FROM public.ai_jobs_dlq AS d
                        WHERE d.original_job_id = s.job_id AND d.retried_at IS NULL);
    GET DIAGNOSTICS v_steps = ROW_COUNT;
    RETURN v_jobs + v_steps;
END $$;

-- Dead letters (ai_jobs_dlq): jobs that failed for good, and what operators do with them.

-- Into the DLQ --------------------------------------------------------------------------------------------------------

-- Each dies of its last_error and error_code.
CREATE FUNCTION scopekit.dead_letter_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ai_jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts, payload, job)
    SELECT j.id, j.tenant_id, j.visit_id, j.job_type, j.last_error, j.error_code, j.attempts, j.payload,
           to_jsonb(j) || jsonb_build_object('status', 'failed', 'finished_at', now(), 'lease_token', NULL,
                                             'lease_expires_at', NULL)
    FROM unnest(p_jobs) AS j
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.ai_jobs WHERE id = ANY (ARRAY(SELECT id FROM unnest(p_jobs)));
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'failed') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.failed',
           jsonb_build_object('error', j.last_error, 'code', j.error_code) || scopekit.correlation(j)
    FROM unnest(p_jobs) AS j ORDER BY j.visit_id;
END $$;

-- One job is a set of one.
CREATE FUNCTION scopekit.dead_letter_job(p_job public.ai_jobs, p_error text, p_code text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    p_job.last_error := coalesce(p_error, p_job.last_error, 'unknown error');
    p_job.error_code := coalesce(p_code, p_job.error_code, 'attempts_exhausted');
    PERFORM scopekit.dead_letter_jobs(ARRAY[p_job]);
END $$;

-- The runbook's function: an unknown id, or one with attempts left, is left alone.
CREATE FUNCTION public.move_to_dlq(p_job_id uuid, p_error text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs
    WHERE id = p_job_id AND status NOT IN ('completed', 'cancelled') FOR UPDATE;
    IF FOUND AND v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
        PERFORM scopekit.dead_letter_job(v_job, p_error, NULL);
    END IF;
END $$;

-- Out of it -----------------------------------------------------------------------------------------------------------

-- Queue a dead job again under its own id, with everything it had and no attempt spent. A second call finds it done.
-- Returns the job's id; null for an unknown one. unique_violation when the visit has another active job by now.
CREATE FUNCTION scopekit.redrive(p_dlq_id uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_dead public.ai_jobs_dlq;
    v_job  public.ai_jobs;
BEGIN
    SELECT * INTO v_dead FROM public.ai_jobs_dlq WHERE id = p_dlq_id FOR UPDATE;
    IF NOT FOUND OR v_dead.retried_at IS NOT NULL THEN
        RETURN v_dead.original_job_id;
    END IF;
    v_job := jsonb_populate_record(NULL::public.ai_jobs, v_dead.job);
    INSERT INTO public.ai_jobs
        (id, tenant_id, visit_id, job_type, priority, max_attempts, payload, idempotency_key, correlation_id,
         trace_context, created_by, created_at)
    VALUES (v_dead.original_job_id, v_dead.tenant_id, v_dead.visit_id, v_dead.job_type, coalesce(v_job.priority, 0),
            v_job.max_attempts, v_dead.payload, v_job.idempotency_key, v_job.correlation_id, v_job.trace_context,
            v_job.created_by, coalesce(v_job.created_at, now()));
    UPDATE public.ai_jobs_dlq SET retried_at = now() WHERE id = p_dlq_id;
    RETURN v_dead.original_job_id;
END $$;

-- An operator's retry. Returns the job's id; null for a letter that is not there or was discarded. unique_violation as
-- scopekit.redrive.
CREATE FUNCTION scopekit.retry_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('dlq.retry', p_id::text, p_reason);
    IF EXISTS (SELECT FROM public.ai_jobs_dlq WHERE id = p_id AND discarded_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN scopekit.redrive(p_id);
END $$;

-- Returns the job's id; null for a letter that is not there or was retried. A second call finds it done.
CREATE FUNCTION scopekit.discard_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_job uuid;
BEGIN
    PERFORM scopekit.begin_action('dlq.discard', p_id::text, p_reason);
    UPDATE public.ai_jobs_dlq SET discarded_at = coalesce(discarded_at, now()), retried_at = coalesce(retried_at, now())
    WHERE id = p_id AND (retried_at IS NULL OR discarded_at IS NOT NULL)
    RETURNING original_job_id INTO v_job;
    RETURN v_job;
END $$;

-- What operators see --------------------------------------------------------------------------------------------------

-- The error without what tells one from others of its kind: ids and numbers say which one, not what.
CREATE FUNCTION scopekit.dead_letter_cause(p_error text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(regexp_replace(coalesce(p_error, ''), '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]+', '#', 'g'), 200)
$$;

-- Waiting letters by cause.
CREATE FUNCTION scopekit.dead_letter_causes()
    RETURNS TABLE (job_type text, error_code text, cause text, letters bigint, tenants bigint,
                   oldest timestamptz, newest timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.job_type, coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), count(*),
                        count(DISTINCT d.tenant_id), min(d.moved_at), max(d.moved_at)
                 FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC;
END $$;

-- The newest waiting letters.
CREATE FUNCTION scopekit.dead_letters(p_limit integer)
    RETURNS TABLE (id uuid, job_id uuid, tenant_id uuid, tenant text, visit_id uuid, job_type text, error_code text,
                   cause text, last_error text, attempts integer, moved_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id, d.original_job_id, d.tenant_id, t.name, d.visit_id, d.job_type,
                        coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), d.last_error, d.attempts,
                        d.moved_at
                 FROM public.ai_jobs_dlq d JOIN public.tenants t ON t.id = d.tenant_id
                 WHERE d.retried_at IS NULL ORDER BY d.moved_at DESC LIMIT p_limit;
END $$;

-- Whether a letter still waits.
CREATE FUNCTION scopekit.dead_letter_waits(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN EXISTS (SELECT FROM public.ai_jobs_dlq WHERE id = p_id AND retried_at IS NULL);
END $$;

-- Waiting letters of a kind, the oldest first, from the one after p_after on; null matches anything. A batch begins after
-- the last letter of the one before, so that letters that cannot be retried hold none back.
CREATE FUNCTION scopekit.waiting_dead_letters(
    p_job_type text, p_error_code text, p_cause text, p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_after timestamptz := (SELECT d.moved_at FROM public.ai_jobs_dlq d WHERE d.id = p_after);
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id FROM public.ai_jobs_dlq d
                 WHERE d.retried_at IS NULL
                   AND (v_after IS NULL OR (d.moved_at, d.id) > (v_after, p_after))
                   AND (p_job_type IS NULL OR d.job_type = p_job_type)
                   AND (p_error_code IS NULL OR coalesce(d.error_code, '') = p_error_code)
                   AND (p_cause IS NULL OR scopekit.dead_letter_cause(d.last_error) = p_cause)
                 ORDER BY d.moved_at, d.id LIMIT p_limit;
END $$;

-- Dead letters of the last seven days, by day and kind of job.
CREATE FUNCTION scopekit.dead_letter_growth()
    RETURNS TABLE (date date, job_type text, failed_count bigint, avg_attempts numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.moved_at::date, d.job_type, count(*), round(avg(d.attempts), 2)
    FROM public.ai_jobs_dlq AS d WHERE d.moved_at > now() - interval '7 days'
    GROUP BY 1, 2 ORDER BY 1 DESC, 2
$$;

-- Share links: what a customer with a link may read and answer.
--
-- A customer has no tenant token, so the functions of schema scopekit are the only way in: for the gateway's login alone,
-- and each begins with the sha256 of the link's 256-bit token. Nothing here lists shares, and an argument that is NULL
-- matches nothing.

-- A link to one version of an estimate, for one recipient.
CREATE TABLE public.shares (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    visit_id         uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    token_hash       bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),  -- the token itself is shown once
    recipient        text NOT NULL DEFAULT '' CHECK (length(recipient) <= 200),
    passcode_hash    text,
    has_passcode     boolean GENERATED ALWAYS AS (passcode_hash IS NOT NULL) STORED,
    failed_passcodes integer NOT NULL DEFAULT 0,  -- over the life of the link
    locked_until     timestamptz,
    max_views        integer CHECK (max_views BETWEEN 1 AND 10000),
    views            integer NOT NULL DEFAULT 0 CHECK (views >= 0),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    created_by       uuid,
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT views_within_limit CHECK (max_views IS NULL OR views <= max_views)
);
CREATE INDEX shares_of_visit ON public.shares (visit_id);
CREATE INDEX shares_of_estimate ON public.shares (estimate_id, created_at);

-- Each time a link was opened: one view, one session.
CREATE TABLE public.share_views (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    session_hash     bytea NOT NULL UNIQUE CHECK (length(session_hash) = 32),
    session_expires  timestamptz NOT NULL,
    user_agent_class text NOT NULL DEFAULT '',
    address_prefix   text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    opened_at        timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX share_views_of_share ON public.share_views (share_id, opened_at);

-- What else happened with a share, beside its views and its decision.
CREATE TABLE public.share_activity (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    view_id          uuid REFERENCES public.share_views ON DELETE CASCADE,  -- in which session; null: in none
    kind             text NOT NULL CHECK (kind IN ('photo', 'pdf', 'certificate', 'rotated', 'locked')),
    media_id         uuid,
    user_agent_class text NOT NULL DEFAULT '',
    address_prefix   text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    happened_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT photo_iff_media CHECK ((kind = 'photo') = (media_id IS NOT NULL)),
    CONSTRAINT in_a_session_or_outside CHECK ((kind IN ('rotated', 'locked')) = (view_id IS NULL))
);
CREATE INDEX share_activity_of_share ON public.share_activity (share_id, happened_at);
-- Once a session and thing: a reader who pages back and forth neither fills the timeline nor the table.
CREATE UNIQUE INDEX share_activity_once ON public.share_activity (view_id, kind, media_id) NULLS NOT DISTINCT
    WHERE view_id IS NOT NULL;

-- The customer's answer, once per share, and what an acceptance leaves behind: a drawn or typed signature, and a
-- certificate of what was accepted, by whom and when.
CREATE TABLE public.share_decisions (
    share_id         uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    estimate_version integer NOT NULL,
    content_hash     text NOT NULL,
    decision         text NOT NULL CHECK (decision IN ('accepted', 'declined', 'changes_requested')),
    name             text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    message          text NOT NULL DEFAULT '' CHECK (length(message) <= 2000),
    address_prefix   text NOT NULL DEFAULT '',
    user_agent_class text NOT NULL DEFAULT '',
    -- The path of a drawn signature: strokes within 600 x 200, whole numbers, straight lines.
    signature        text NOT NULL DEFAULT ''
                     CHECK (length(signature) <= 12000 AND signature ~ '^(M\d{1,3} \d{1,3}(L\d{1,3} \d{1,3})+)*$'),
    certificate      text,  -- the exact text whose sha256 the fingerprint is
    fingerprint      text,
    decided_at       timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT fingerprint_of_certificate CHECK (
        fingerprint IS NOT DISTINCT FROM encode(sha256(convert_to(certificate, 'UTF8')), 'hex'))
);
-- One decision per version of an estimate, whichever of its recipients is first.
CREATE UNIQUE INDEX share_decisions_one_per_estimate ON public.share_decisions (estimate_id);

-- Finding a share -----------------------------------------------------------------------------------------------------

-- ready | revoked | expired | used_up. No limit (NULL) is never used up.
CREATE FUNCTION public.share_state(p_revoked_at timestamptz, p_expires_at timestamptz, p_views integer,
                                   p_max_views integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_revoked_at IS NOT NULL THEN 'revoked'
        WHEN (p_expires_at > now()) IS NOT TRUE THEN 'expired'
        WHEN p_views >= p_max_views THEN 'used_up'
        ELSE 'ready'
    END
$$;

-- The share whose link and live session these are, or no row: a session dies with its share.
CREATE FUNCTION scopekit.live_share(p_token_hash bytea, p_session_hash bytea)
    RETURNS SETOF public.shares LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.* FROM public.shares s JOIN public.share_views v ON v.share_id = s.id
    WHERE s.token_hash = p_token_hash AND v.session_hash = p_session_hash
      AND v.session_expires > now() AND s.expires_at > now() AND s.revoked_at IS NULL
$$;

-- The share behind a link, or no row; `live` says that the session is one of its own and still runs.
CREATE FUNCTION scopekit.share_by_token(p_token_hash bytea, p_session_hash bytea)
    RETURNS TABLE (share_id uuid, state text, has_passcode boolean, live boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.id, public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views), s.has_passcode,
           EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash))
    FROM public.shares s WHERE s.token_hash = p_token_hash
$$;

-- Whose share of the machine a customer's request counts in, or NULL; never shown to the customer.
CREATE FUNCTION scopekit.tenant_of_share(p_token_hash bytea)
    RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.tenant_id FROM public.shares s WHERE s.token_hash = p_token_hash
$$;

-- Opening it ----------------------------------------------------------------------------------------------------------

-- Count one try before the passcode is checked, so that a hundred at once are still five. Returns the hash to check it
-- against, or no hash and the seconds until the next try. Wrong tries count over the life of the link, whoever opens it
-- between them: each five lock it, for 15 minutes and then four times as long as before, so that a guesser has 45 tries
-- in a year of 10,000 codes of four digits. The contractor reads of each lock in the share's story.
CREATE FUNCTION scopekit.try_passcode(p_token_hash bytea)
    RETURNS TABLE (passcode_hash text, retry_after integer) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c_tries CONSTANT integer := 5;
    c_lock  CONSTANT interval := '15 minutes';
    v_share public.shares;
    v_tries integer;
    v_locks integer;
    v_locked boolean;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE token_hash = p_token_hash FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF v_share.locked_until > now() THEN
        RETURN QUERY SELECT NULL::text, ceil(extract(epoch FROM v_share.locked_until - now()))::integer;
        RETURN;
    END IF;
    v_tries := v_share.failed_passcodes + 1;
    v_locks := v_tries / c_tries;
    v_locked := v_tries % c_tries = 0;
    UPDATE public.shares
    SET failed_passcodes = v_tries, locked_until = CASE WHEN v_locked THEN now() + c_lock * 4 ^ least(v_locks - 1, 8) END
    WHERE id = v_share.id;
    IF v_locked THEN
        INSERT INTO public.share_activity (tenant_id, share_id, kind)
        VALUES (v_share.tenant_id, v_share.id, 'locked');
    END IF;
    RETURN QUERY SELECT v_share.passcode_hash, 0;
END $$;

-- Take one view and begin a session: 'opened', else why not (unknown, revoked, expired, used_up, passcode; stale: the
-- session's secret was used before). p_passcode_hash is the one the caller checked a passcode against; it must still be
-- the share's. A second click on the same form brings the same secret, and takes no second view.
CREATE FUNCTION scopekit.open_share(p_token_hash bytea, p_session_hash bytea, p_passcode_hash text,
                                    p_session_seconds integer, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
    v_state text;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE token_hash = p_token_hash FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)) THEN
        RETURN 'opened';
    END IF;
    v_state := public.share_state(v_share.revoked_at, v_share.expires_at, v_share.views, v_share.max_views);
    IF v_state <> 'ready' THEN
        RETURN v_state;
    END IF;
    IF v_share.passcode_hash IS DISTINCT FROM p_passcode_hash THEN
        RETURN 'passcode';
    END IF;
    IF EXISTS (SELECT 1 FROM public.share_views WHERE session_hash = p_session_hash) THEN
        RETURN 'stale';
    END IF;
    -- The try that was right was counted as if it were wrong; so was the lock that it may have closed.
    IF v_share.locked_until > now() THEN
        DELETE FROM public.share_activity
        WHERE id = (SELECT id FROM public.share_activity WHERE share_id = v_share.id AND kind = 'locked'
                    ORDER BY happened_at DESC LIMIT 1);
    END IF;
    UPDATE public.shares
    SET views = views + 1, locked_until = NULL,
        failed_passcodes = greatest(0, failed_passcodes - CASE WHEN passcode_hash IS NULL THEN 0 ELSE 1 END)
    WHERE id = v_share.id;
    INSERT INTO public.share_views (tenant_id, share_id, session_hash, session_expires, user_agent_class,
                                    address_prefix)
    VALUES (v_share.tenant_id, v_share.id, p_session_hash,
            least(now() + make_interval(secs => p_session_seconds), v_share.expires_at),
            coalesce(p_user_agent_class, ''), coalesce(p_address_prefix, ''));
    IF v_share.views = 0 THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
        VALUES (v_share.visit_id, v_share.tenant_id, 'share.opened',
                jsonb_build_object('share_id', v_share.id, 'recipient', v_share.recipient));
    END IF;
    RETURN 'opened';
END $$;

-- Reading it ----------------------------------------------------------------------------------------------------------

-- The photos that lines of an estimate cite: all a customer may see of a visit's media.
CREATE FUNCTION scopekit.cited_photos(p_estimate_id uuid)
    RETURNS SETOF public.site_visit_media LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.* FROM public.estimates e JOIN public.site_visit_media m ON m.visit_id = e.visit_id
    WHERE e.id = p_estimate_id AND m.media_type = 'photo' AND m.status = 'stored'
      AND EXISTS (SELECT 1 FROM public.estimate_lines l, jsonb_array_elements(l.evidence) AS cited
                  WHERE l.estimate_id = e.id AND cited ->> 'media_id' = m.id::text)
$$;

-- sha256 of a text, in hex.
CREATE FUNCTION scopekit.text_hash(p_text text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(p_text, 'UTF8')), 'hex')
$$;

-- The terms a tenant's offers stand under now. An acceptance keeps its own in the certificate.
CREATE FUNCTION scopekit.terms_of(p_tenant_id uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((SELECT profile ->> 'terms' FROM public.tenant_settings WHERE tenant_id = p_tenant_id), '')
$$;

-- What a customer reads, or NULL without a live session. A new field here is a field that a customer may see: review
-- reasons, confidence, matches, typed notes and original names stay inside. Money and quantities are strings.
CREATE FUNCTION scopekit.share_session(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'share', jsonb_build_object('id', s.id, 'recipient', s.recipient, 'expires_at', s.expires_at),
        'business', (
            SELECT jsonb_build_object('name', t.name) || coalesce(jsonb_object_agg(p.key, p.value)
                FILTER (WHERE p.key IN ('business_name', 'address', 'phone', 'email', 'license', 'timezone', 'terms')),
                '{}') || jsonb_build_object(
                    'accent', g.accent, 'has_logo', g.logo_path IS NOT NULL,
                    'terms_hash', scopekit.text_hash(scopekit.terms_of(t.id)))
            FROM public.tenants t
            LEFT JOIN public.tenant_settings g ON g.tenant_id = t.id
            LEFT JOIN LATERAL jsonb_each_text(g.profile) p ON true
            WHERE t.id = s.tenant_id GROUP BY t.id, g.accent, g.logo_path),
        'visit', (
            SELECT jsonb_build_object('id', v.id, 'title', v.title, 'customer_name', v.customer_name,
                                      'address', v.address, 'visited_at', v.created_at)
            FROM public.site_visits v WHERE v.id = s.visit_id),
        'estimate', jsonb_build_object(
            'id', e.id, 'version', e.version, 'status', e.status, 'summary', e.summary, 'coverage', e.coverage,
            'currency', e.currency, 'subtotal', e.subtotal::text, 'tax_rate', e.tax_rate::text, 'tax', e.tax::text,
            'total', e.total::text, 'line_count', e.line_count, 'unpriced_count', e.unpriced_count,
            'content_hash', e.content_hash, 'created_at', e.created_at,
            'is_newest', NOT EXISTS (SELECT 1 FROM public.estimates n
                                     WHERE n.visit_id = e.visit_id AND n.version > e.version)),
        'lines', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'description', l.description, 'category', l.category, 'quantity', l.quantity::text, 'unit', l.unit,
                'unit_price', l.unit_price::text, 'amount', l.amount::text, 'assumptions', l.assumptions,
                'photos', (SELECT coalesce(jsonb_agg(c.id ORDER BY c.first), '[]')
                           FROM (SELECT x ->> 'media_id' AS id, min(n) AS first
                                 FROM jsonb_array_elements(l.evidence) WITH ORDINALITY AS cited(x, n)
                                 WHERE x ->> 'media_id' IS NOT NULL GROUP BY 1) c),
                'said', (SELECT coalesce(jsonb_agg(q.quote ORDER BY q.first), '[]')
                         FROM (SELECT x ->> 'quote' AS quote, min(n) AS first
                               FROM jsonb_array_elements(l.evidence) WITH ORDINALITY AS cited(x, n)
                               WHERE x ->> 'source' = 'audio' AND x ->> 'quote' <> '' GROUP BY 1) q)
                ) ORDER BY l.position), '[]')
            FROM public.estimate_lines l WHERE l.estimate_id = e.id),
        'photos', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'label', m.label)), '[]')
            FROM scopekit.cited_photos(e.id) m),
        'decision', (
            -- What was written with it is between its writer and the contractor.
            SELECT jsonb_build_object('decision', d.decision, 'name', d.name, 'decided_at', d.decided_at,
                                      'message', CASE WHEN d.share_id = s.id THEN d.message ELSE '' END,
                                      'signature', d.signature, 'certificate', d.certificate,
                                      'fingerprint', d.fingerprint)
            FROM public.share_decisions d WHERE d.estimate_id = e.id))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.estimates e ON e.id = s.estimate_id
$$;

-- The customer's document with its prices and the options it offers: laid over `share_session`, so that either may
-- grow by itself. Each option's own subtotal stands beside its name; their order is the contractor's.
CREATE FUNCTION scopekit.share_document(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_set(
        jsonb_set(d.document, '{estimate}', d.document -> 'estimate' || jsonb_build_object(
            'markup_rate', e.markup_rate::text, 'markup', e.markup::text,
            'discount_rate', e.discount_rate::text, 'discount', e.discount::text,
            'chosen_option', e.chosen_option,
            'options', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'name', o.name,
                    'subtotal', (SELECT coalesce(sum(l.amount), 0)::text FROM public.estimate_lines l
                                 WHERE l.estimate_id = e.id AND l.option IN ('', o.name))) ORDER BY o.place), '[]')
                FROM jsonb_array_elements_text(e.options) WITH ORDINALITY AS o(name, place)))),
        '{lines}', (
            SELECT coalesce(jsonb_agg(line.content || jsonb_build_object('option', l.option) ORDER BY line.place), '[]')
            FROM jsonb_array_elements(d.document -> 'lines') WITH ORDINALITY AS line(content, place)
            JOIN public.estimate_lines l ON l.estimate_id = e.id AND l.position = line.place))
    FROM (SELECT scopekit.share_session(p_token_hash, p_session_hash) AS document) d
    JOIN public.estimates e ON e.id = (d.document -> 'estimate' ->> 'id')::uuid
$$;

-- One photo of the shared document, or no row: where it is kept and what it is.
CREATE FUNCTION scopekit.share_photo(p_token_hash bytea, p_session_hash bytea, p_media_id uuid)
    RETURNS TABLE (id uuid, tenant_id uuid, visit_id uuid, media_type text, content_type text, storage_path text,
                   sha256 text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.id, m.tenant_id, m.visit_id, m.media_type, m.content_type, m.storage_path, m.sha256
    FROM scopekit.live_share(p_token_hash, p_session_hash) s, scopekit.cited_photos(s.estimate_id) m
    WHERE m.id = p_media_id
$$;

-- Where the contractor's logo lies, for a live session; NULL when there is none.
CREATE FUNCTION scopekit.share_logo(p_token_hash bytea, p_session_hash bytea)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.logo_path FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
$$;

-- What an open page asks now and then: {version, newest, decision}, or NULL without a live session.
CREATE FUNCTION scopekit.share_updates(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'version', e.version,
        'newest', (SELECT max(n.version) FROM public.estimates n WHERE n.visit_id = e.visit_id),
        'decision', (SELECT d.decision FROM public.share_decisions d WHERE d.estimate_id = e.id))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s JOIN public.estimates e ON e.id = s.estimate_id
$$;

-- Write down what a live session looked at; without one nothing happens.
CREATE FUNCTION scopekit.log_share_activity(p_token_hash bytea, p_session_hash bytea, p_kind text, p_media_id uuid,
                                       p_user_agent_class text, p_address_prefix text)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.share_activity (tenant_id, share_id, view_id, kind, media_id, user_agent_class, address_prefix)
    SELECT s.tenant_id, s.id, v.id, p_kind, p_media_id, p_user_agent_class, p_address_prefix
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.share_views v ON v.share_id = s.id AND v.session_hash = p_session_hash
    ON CONFLICT DO NOTHING
$$;

-- Answering it --------------------------------------------------------------------------------------------------------

-- The certificate's text. A moment is UTC to the microsecond; a drawn signature stands in it as its hash.
CREATE FUNCTION scopekit.certificate_of(p_decision public.share_decisions, p_estimate public.estimates)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'what', 'Acceptance of an estimate',
        'estimate_id', p_estimate.id, 'visit_id', p_estimate.visit_id, 'version', p_estimate.version,
        'content_hash', p_estimate.content_hash, 'total', p_estimate.total::text, 'currency', p_estimate.currency,
        'unpriced_count', p_estimate.unpriced_count,
        'contractor', (SELECT coalesce(nullif(g.profile ->> 'business_name', ''), t.name) FROM public.tenants t
                       LEFT JOIN public.tenant_settings g ON g.tenant_id = t.id WHERE t.id = p_decision.tenant_id),
        'terms', scopekit.terms_of(p_decision.tenant_id),
        'accepted_by', p_decision.name,
        'accepted_at', to_char(p_decision.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'signed_by', CASE WHEN p_decision.signature = '' THEN 'typed name' ELSE 'typed name and drawn signature' END,
        'signature_sha256', CASE WHEN p_decision.signature = '' THEN NULL
                                 ELSE scopekit.text_hash(p_decision.signature) END,
        'share_id', p_decision.share_id,
        'address', p_decision.address_prefix, 'browser', p_decision.user_agent_class)::text
$$;

-- Record the customer's answer once: 'recorded', else why not (closed: no live session; decided: another recipient was
-- first; changed: not the newest version any more, or not the content or the terms the customer saw).
CREATE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                      p_message text, p_content_hash text, p_terms_hash text,
                                      p_signature text, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share    public.shares;
    v_estimate public.estimates;
    v_decision public.share_decisions;
BEGIN
    SELECT * INTO v_share FROM scopekit.live_share(p_token_hash, p_session_hash);
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    -- The lock every new version takes too: an edit and a decision never pass each other.
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    -- Read again under the lock: a revocation or another link may have come first.
    PERFORM 1 FROM public.shares WHERE id = v_share.id AND token_hash = p_token_hash AND revoked_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    SELECT * INTO v_estimate FROM public.estimates WHERE id = v_share.estimate_id FOR UPDATE;
    IF v_estimate.status <> 'draft' THEN
        RETURN 'decided';
    END IF;
    IF v_estimate.content_hash IS DISTINCT FROM p_content_hash
       OR scopekit.text_hash(scopekit.terms_of(v_share.tenant_id)) IS DISTINCT FROM p_terms_hash OR EXISTS (
        SELECT 1 FROM public.estimates WHERE visit_id = v_estimate.visit_id AND version > v_estimate.version) THEN
        RETURN 'changed';
    END IF;
    v_decision.share_id := v_share.id;
    v_decision.tenant_id := v_share.tenant_id;
    v_decision.estimate_id := v_estimate.id;
    v_decision.estimate_version := v_estimate.version;
    v_decision.content_hash := v_estimate.content_hash;
    v_decision.decision := p_decision;
    v_decision.name := coalesce(p_name, '');
    v_decision.message := coalesce(p_message, '');
    v_decision.signature := coalesce(p_signature, '');
    v_decision.user_agent_class := coalesce(p_user_agent_class, '');
    v_decision.address_prefix := coalesce(p_address_prefix, '');
    v_decision.decided_at := now();
    IF p_decision = 'accepted' THEN
        v_decision.certificate := scopekit.certificate_of(v_decision, v_estimate);
        v_decision.fingerprint := scopekit.text_hash(v_decision.certificate);
    END IF;
    INSERT INTO public.share_decisions SELECT v_decision.*;
    UPDATE public.estimates SET status = p_decision WHERE id = v_estimate.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (v_share.visit_id, v_share.tenant_id, 'share.decided',
            jsonb_build_object('share_id', v_share.id, 'recipient', v_share.recipient, 'decision', p_decision,
                               'estimate_id', v_estimate.id, 'version', v_estimate.version));
    RETURN 'recorded';
END $$;

-- A decision does not change; it goes only with its share.
CREATE FUNCTION scopekit.freeze_decisions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.shares WHERE id = OLD.share_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decision does not change' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER freeze_decisions BEFORE UPDATE OR DELETE ON public.share_decisions
    FOR EACH ROW EXECUTE FUNCTION scopekit.freeze_decisions();

-- The contractor's action ---------------------------------------------------------------------------------------------

-- Give a share another link: the new token opens it, the old one and every session opened with it are dead at once.
-- 'rotated', else why not: unknown (another tenant's too), revoked. p_expires_in NULL leaves the end where it is. Views
-- stay counted; tries of the passcode begin anew, because a guesser at the old link has lost it.
CREATE FUNCTION public.rotate_share(p_share_id uuid, p_token_hash bytea, p_expires_in double precision)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM public.shares
    WHERE id = p_share_id AND tenant_id = public.current_tenant_id('member') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF v_share.revoked_at IS NOT NULL THEN
        RETURN 'revoked';
    END IF;
    UPDATE public.shares
    SET token_hash = p_token_hash, failed_passcodes = 0, locked_until = NULL,
        expires_at = coalesce(now() + make_interval(secs => p_expires_in), expires_at)
    WHERE id = v_share.id;
    UPDATE public.share_views SET session_expires = now() WHERE share_id = v_share.id AND session_expires > now();
    INSERT INTO public.share_activity (tenant_id, share_id, kind) VALUES (v_share.tenant_id, v_share.id, 'rotated');
    RETURN 'rotated';
END $$;

-- Analytics events, and the outbox by which they leave.
--
-- Invariants
--   1. Whoever inserts into analytics_events enqueues its delivery, in the same transaction.
--   2. An event is handed to one dispatcher at a time, for the length of a lease; `attempts` is that dispatcher's token.
--   3. Its row goes only when the receiver has answered yes. A crash in between delivers it again under the same id, and
--      the receiver recognises it: at least once on the way, once in effect.

-- What happened, for the company's and our own reports.
CREATE TABLE public.analytics_events (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    event       text NOT NULL CHECK (event <> ''),
    properties  jsonb NOT NULL DEFAULT '{}',
    tenant_id   uuid REFERENCES public.tenants,
    user_id     uuid,
    "timestamp" timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_events_of_tenant ON public.analytics_events (tenant_id);
CREATE INDEX analytics_events_recent ON public.analytics_events (event, "timestamp" DESC);

-- Events that are still to be delivered.
CREATE TABLE public.analytics_outbox (
    event_id   uuid PRIMARY KEY REFERENCES public.analytics_events ON DELETE CASCADE,
    attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at     timestamptz NOT NULL DEFAULT now(),
    refused_at timestamptz,  -- the receiver will never take it
    last_error text
);
CREATE INDEX analytics_outbox_due ON public.analytics_outbox (due_at) WHERE refused_at IS NULL;

-- Invariant 1.
CREATE FUNCTION scopekit.enqueue_outbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.analytics_outbox (event_id) SELECT id FROM happened;
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_outbox AFTER INSERT ON public.analytics_events REFERENCING NEW TABLE AS happened
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.enqueue_outbox();

-- Take up to p_limit events that are due, the longest due first, for p_lease.
CREATE FUNCTION scopekit.claim_outbox(p_limit integer, p_lease interval)
    RETURNS TABLE (id uuid, attempts integer, event text, properties jsonb, tenant_id uuid, user_id uuid,
                   "timestamp" timestamptz)
    LANGUAGE sql AS $$
    WITH taken AS (
        UPDATE public.analytics_outbox AS o SET attempts = o.attempts + 1, due_at = now() + p_lease
        WHERE o.event_id IN (
            SELECT due.event_id FROM public.analytics_outbox AS due WHERE due.refused_at IS NULL AND due.due_at <= now()
            ORDER BY due.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
        RETURNING o.event_id, o.attempts
    )
    SELECT e.id, t.attempts, e.event, e.properties, e.tenant_id, e.user_id, e."timestamp"
    FROM taken AS t JOIN public.analytics_events AS e ON e.id = t.event_id ORDER BY e."timestamp", e.id
$$;

-- How many wait, since when the oldest does, and how many were refused for good.
CREATE FUNCTION scopekit.outbox_state(OUT waiting bigint, OUT oldest_seconds double precision, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE o.refused_at IS NULL),
           coalesce(max(extract(epoch FROM clock_timestamp() - e."timestamp")) FILTER (WHERE o.refused_at IS NULL), 0)
               ::double precision,
           count(*) FILTER (WHERE o.refused_at IS NOT NULL)
    FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id
$$;

-- Operators of the whole product: what they may do, the record of all they did, and what they watch.
--
-- An operator is a user with a row in `operators`. Operators are no tenant's: an administrator of one company must see
-- nothing of another. The command line acts as service_role. Every function for operators asks for itself, so that a route
-- that forgot to ask opens nothing.

-- The operators; granted and withdrawn by the command line.
CREATE TABLE public.operators (
    user_id    uuid PRIMARY KEY,
    name       text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    granted_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Every operator's action. It is read and added to, and never changed.
CREATE TABLE public.ops_audit (
    id     uuid PRIMARY KEY DEFAULT uuidv7(),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor  text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action <> ''),
    target text NOT NULL,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 1000),
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ops_audit_newest ON public.ops_audit (at DESC);

-- Running processes: each reports every few seconds, and deletes its row when it leaves. `keys` are fingerprints of the
-- secrets it uses, so that a rotation knows when the last one has the new ones.
CREATE TABLE public.processes (
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('gateway', 'worker')),
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    load       jsonb NOT NULL DEFAULT '{}',
    keys       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (name, kind)
);

-- The queue's depth over the last day.
CREATE TABLE public.queue_samples (
    at      timestamptz PRIMARY KEY DEFAULT now(),
    queued  bigint NOT NULL,
    running bigint NOT NULL,
    dead    bigint NOT NULL
);

-- Keys of services that call the gateway.
CREATE TABLE public.service_keys (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL,
    key_hash   bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);

-- Rotations of secrets: when each began and ended, by whom, and fingerprints of old and new. Never a value.
CREATE TABLE public.secret_rotations (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    name        text NOT NULL,
    old_print   text NOT NULL,
    new_print   text NOT NULL CHECK (new_print <> old_print),
    actor       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    begun_at    timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz CHECK (finished_at >= begun_at)
);
CREATE UNIQUE INDEX secret_rotations_open ON public.secret_rotations (name) WHERE finished_at IS NULL;

-- Acting --------------------------------------------------------------------------------------------------------------

-- The actor: the name the command line gives, else the user of the token, else the login.
CREATE FUNCTION scopekit.actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('scopekit.actor', true), ''),
                    'user ' || nullif(auth.jwt() ->> 'sub', ''), session_user::text)
$$;

-- Whether this user is an operator now.
CREATE FUNCTION scopekit.is_operator(p_user_id uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.operators WHERE user_id = p_user_id)
$$;

-- `role` keeps its value inside a function that runs with its owner's rights, so this sees the real caller.
CREATE FUNCTION scopekit.require_operator() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF current_setting('role') IS DISTINCT FROM 'service_role'
       AND NOT scopekit.is_operator(nullif(auth.jwt() ->> 'sub', '')::uuid) THEN
        RAISE EXCEPTION 'this is for operators' USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Begin an operator's action: a caller who is none is refused, and it is written down in the transaction that does it.
CREATE FUNCTION scopekit.begin_action(p_action text, p_target text, p_reason text, p_detail jsonb DEFAULT '{}')
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    PERFORM set_config('scopekit.reason', p_reason, true);
    INSERT INTO public.ops_audit (actor, action, target, reason, detail)
    VALUES (scopekit.actor(), p_action, p_target, p_reason, p_detail);
END $$;

-- The newest actions.
CREATE FUNCTION scopekit.audit_log(p_limit integer)
    RETURNS TABLE (at timestamptz, actor text, action text, target text, reason text, detail jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT a.at, a.actor, a.action, a.target, a.reason, a.detail
                 FROM public.ops_audit a ORDER BY a.at DESC LIMIT p_limit;
END $$;

-- Make a user an operator; false for one that is already.
CREATE FUNCTION scopekit.add_operator(p_user_id uuid, p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('operator.add', p_user_id::text, p_reason, jsonb_build_object('name', p_name));
    INSERT INTO public.operators (user_id, name, granted_by) VALUES (p_user_id, p_name, scopekit.actor())
    ON CONFLICT (user_id) DO NOTHING;
    RETURN FOUND;
END $$;

-- Withdraw it; false for one who is none.
CREATE FUNCTION scopekit.remove_operator(p_user_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('operator.remove', p_user_id::text, p_reason);
    DELETE FROM public.operators WHERE user_id = p_user_id;
    RETURN FOUND;
END $$;

-- Pause the queue, until a time or for good.
CREATE FUNCTION scopekit.operator_pause(p_name text, p_reason text, p_until timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.pause', p_name, p_reason, jsonb_build_object('until', p_until));
    PERFORM scopekit.pause_queue(p_name, p_reason, p_until);
END $$;

-- Resume it.
CREATE FUNCTION scopekit.operator_resume(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.resume', p_name, p_reason);
    RETURN scopekit.resume_queue(p_name);
END $$;

-- Pause for good. A pause that would end by itself is kept for the release; one for good stays as it is.
CREATE FUNCTION scopekit.operator_hold(p_name text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.pause', p_name, p_reason, jsonb_build_object('until', NULL));
    INSERT INTO public.queue_control AS c (name, paused, reason) VALUES (p_name, true, p_reason)
    ON CONFLICT (name) DO UPDATE
        SET paused = true, reason = excluded.reason, until = NULL, updated_at = now(),
            held_reason = CASE WHEN c.paused AND c.until > now() THEN c.reason END,
            held_until = CASE WHEN c.paused AND c.until > now() THEN c.until END
        WHERE NOT c.paused OR c.until IS NOT NULL;
END $$;

-- End a hold. Returns whether a pause that was kept goes on.
CREATE FUNCTION scopekit.operator_release(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.resume', p_name, p_reason);
    UPDATE public.queue_control
    SET reason = held_reason, until = held_until, held_reason = NULL, held_until = NULL, updated_at = now()
    WHERE name = p_name AND held_until > now();
    IF NOT FOUND THEN
        PERFORM scopekit.resume_queue(p_name);
        RETURN false;
    END IF;
    RETURN true;
END $$;

-- Revoke any tenant's share; false for one that is not there. Its own tenant revokes by the route.
CREATE FUNCTION scopekit.operator_revoke_share(p_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('share.revoke', p_id::text, p_reason);
    UPDATE public.shares SET revoked_at = coalesce(revoked_at, now()) WHERE id = p_id;
    RETURN FOUND;
END $$;

-- Processes -----------------------------------------------------------------------------------------------------------

-- Say that a process is alive. Those silent for a day go.
CREATE FUNCTION scopekit.report_process(p_name text, p_kind text, p_load jsonb, p_keys jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.processes AS p (name, kind, load, keys) VALUES (p_name, p_kind, p_load, p_keys)
    ON CONFLICT (name, kind) DO UPDATE SET seen_at = now(), load = excluded.load, keys = excluded.keys;
    DELETE FROM public.processes WHERE seen_at < now() - interval '1 day';
END $$;

-- Take a process off the list as it leaves.
CREATE FUNCTION scopekit.unregister_process(p_name text, p_kind text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.processes WHERE name = p_name AND kind = p_kind
$$;

-- Those seen within p_within; the others have died without a word.
CREATE FUNCTION scopekit.live_processes(p_within interval)
    RETURNS TABLE (name text, kind text, started_at timestamptz, seen_at timestamptz, load jsonb, keys jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT p.name, p.kind, p.started_at, p.seen_at, p.load, p.keys
                 FROM public.processes p WHERE p.seen_at > now() - p_within ORDER BY p.kind, p.started_at, p.name;
END $$;

-- Numbers -------------------------------------------------------------------------------------------------------------

-- Two numbers for the health check, across tenants: no row.
CREATE FUNCTION scopekit.queue_health(OUT depth bigint, OUT last_job_success timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT (SELECT count(*) FROM public.ai_jobs WHERE status = 'queued'),
           (SELECT max(finished_at) FROM public.ai_jobs WHERE status = 'completed')
$$;

-- How long the oldest job that may start has waited, in seconds. Jobs whose time is yet to come wait on purpose, as they
-- do while their flag is off, and do not count.
CREATE FUNCTION scopekit.queue_overdue() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(run_at)), 0), 0)
    FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now()
$$;

-- Numbers by state, across tenants, for an operator's graphs: no row. Each state is counted through an index that holds
-- this state alone; finished jobs, of which there is no end, are not counted.
CREATE FUNCTION scopekit.queue_depths()
    RETURNS TABLE (status text, depth bigint, oldest_seconds double precision, average_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.status, s.depth, coalesce(greatest(extract(epoch FROM clock_timestamp() - s.oldest), 0), 0),
           coalesce(greatest(extract(epoch FROM clock_timestamp()) - s.average, 0), 0)
    FROM (
        SELECT 'queued' AS status, count(*) AS depth, min(j.created_at) AS oldest,
               avg(extract(epoch FROM j.created_at)) AS average
        FROM public.ai_jobs j WHERE j.status = 'queued'
        UNION ALL
        SELECT 'running', count(*), min(j.started_at), avg(extract(epoch FROM j.started_at))
        FROM public.ai_jobs j WHERE j.status = 'running'
        UNION ALL
        SELECT 'dead', count(*), min(d.moved_at), avg(extract(epoch FROM d.moved_at))
        FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL
    ) AS s
$$;

-- Keep the depth of this moment; those of a day ago go.
CREATE FUNCTION scopekit.sample_queue() RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.queue_samples (queued, running, dead)
    SELECT sum(depth) FILTER (WHERE status = 'queued'), sum(depth) FILTER (WHERE status = 'running'),
           sum(depth) FILTER (WHERE status = 'dead')
    FROM scopekit.queue_depths()
    ON CONFLICT (at) DO NOTHING;
    DELETE FROM public.queue_samples WHERE at < now() - interval '1 day'
$$;

-- The depth over time.
CREATE FUNCTION scopekit.queue_history(p_back interval)
    RETURNS TABLE (at timestamptz, queued bigint, running bigint, dead bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.at, s.queued, s.running, s.dead FROM public.queue_samples s WHERE s.at > now() - p_back ORDER BY s.at
$$;

-- Jobs completed in each minute of the last hour in which there were any, and how long they took.
CREATE FUNCTION scopekit.queue_minutes()
    RETURNS TABLE (minute timestamptz, completed bigint, p50_seconds double precision, p95_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT date_trunc('minute', finished_at), count(*),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
    GROUP BY 1 ORDER BY 1
$$;

-- What each tenant has used. Each number is counted by itself: joined, they would multiply one another.
CREATE FUNCTION scopekit.tenant_usage()
    RETURNS TABLE (tenant_id uuid, name text, visits_today bigint, estimates_today bigint, total_mb numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id, t.name,
           (SELECT count(*) FROM public.site_visits v
            WHERE v.tenant_id = t.id AND v.created_at >= date_trunc('day', now())),
           (SELECT count(*) FROM public.estimates e
            WHERE e.tenant_id = t.id AND e.created_at >= date_trunc('day', now())),
           (SELECT round(coalesce(sum(m.file_size), 0) / 1048576.0, 2) FROM public.site_visit_media m
            WHERE m.tenant_id = t.id)
    FROM public.tenants t ORDER BY t.name, t.id
$$;

-- The runbook's alerts.

-- What the alerts answered when they were last asked: kept for processes that are scraped or started later.
CREATE TABLE public.alerts (
    name       text PRIMARY KEY,
    firing     boolean NOT NULL DEFAULT false,
    value      double precision NOT NULL DEFAULT 0,
    since      timestamptz,  -- the beginning of the present trouble
    notified_at timestamptz,
    checked_at timestamptz,
    CHECK (firing = (since IS NOT NULL))
);
INSERT INTO public.alerts (name) VALUES ('processing_slo'), ('upload_retries'), ('analytics_outbox');

-- Alert 1: of the jobs completed in the last hour, one in twenty took longer than a minute. None completed: false.
CREATE FUNCTION public.check_processing_slo() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) > 60, false)
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
$$;

-- Alert 2: uploads that failed five times or more, reported in the last hour. What is no number counts for nothing.
CREATE FUNCTION public.check_upload_retries() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM public.visit_sync_events
    WHERE event = 'upload_failed' AND created_at > now() - interval '1 hour'
      AND CASE WHEN payload ->> 'attempts' ~ '^\s*\+?\d{1,18}(\.\d*)?\s*$'
               THEN (payload ->> 'attempts')::numeric >= 5 ELSE false END
$$;

-- Alert 3: events that were tried and are still undelivered after an hour, or were refused.
CREATE FUNCTION public.check_analytics_outbox() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM public.analytics_outbox AS o JOIN public.analytics_events AS e ON e.id = o.event_id
    WHERE o.refused_at IS NOT NULL OR (o.attempts > 0 AND e."timestamp" < now() - interval '1 hour')
$$;

-- Of the jobs completed in the last hour, the time within which 95 of 100 were done; 0 without any.
CREATE FUNCTION scopekit.processing_p95() RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)), 0)
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
$$;

-- Ask every alert and keep the answers. `notify`: it fires since now, or fires still and the last reminder is over
-- p_remind ago. `resolved`: it has just stopped.
CREATE FUNCTION scopekit.check_alerts(p_remind interval)
    RETURNS TABLE (name text, firing boolean, value double precision, since timestamptz, notify boolean,
                   resolved boolean)
    LANGUAGE sql AS $$
    WITH asked (name, firing, value) AS (
        VALUES ('processing_slo', public.check_processing_slo(), scopekit.processing_p95()),
               ('upload_retries', public.check_upload_retries() > 0, public.check_upload_retries()::double precision),
               ('analytics_outbox', public.check_analytics_outbox() > 0,
                public.check_analytics_outbox()::double precision)
    ), before AS (
        SELECT a.* FROM public.alerts AS a ORDER BY a.name FOR UPDATE
    )
    UPDATE public.alerts AS a
    SET firing = asked.firing, value = asked.value, checked_at = now(),
        since = CASE WHEN asked.firing THEN coalesce(before.since, now()) END,
        notified_at = CASE WHEN asked.firing AND (before.since IS NULL OR before.notified_at <= now() - p_remind)
                           THEN now() ELSE before.notified_at END
    FROM asked JOIN before USING (name) WHERE a.name = asked.name
    RETURNING a.name, a.firing, a.value, a.since, a.firing AND a.notified_at = now(), before.firing AND NOT a.firing
$$;

-- For the gateway, which may not ask: the last answers, and their age (null: never asked).
CREATE FUNCTION scopekit.alert_states()
    RETURNS TABLE (name text, firing boolean, value double precision, age_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.name, a.firing, a.value, extract(epoch FROM clock_timestamp() - a.checked_at)::double precision
    FROM public.alerts AS a ORDER BY a.name
$$;

-- Who may do what: rights and row level security, all in one place.
--
-- A row is its tenant's. `authenticated` sees only rows of the tenant in its token, while its user is a member there, and
-- writes them unless it is a viewer: every policy asks current_tenant_id(), which reads the membership row. `anon` may
-- nothing, the gateway's login nothing until it takes a role. Workers act as service_role. A forgotten WHERE leaks nothing.
--
-- Default deny: every right on our tables, sequences and functions is taken from everybody first; what is not listed
-- below is nobody's but the owner's. Supabase's default privileges give new objects of `public` to its API's roles.

-- Tables --------------------------------------------------------------------------------------------------------------

-- Rights of a tenant's user, letters as in \dp: r select, a insert, w update, d delete. Tables that are no tenant's
-- (null) are service_role's alone.
DO $$
DECLARE
    v_right record;
    v_verb  record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('tenants',              'r'),
            ('tenant_settings',      'r'),
            ('memberships',          'r'),
            ('flag_changes',         'r'),
            ('flag_kills',           NULL),
            ('killed_flag_tenants',            NULL),
            ('site_visits',          'raw'),
            ('visit_sync_events',    'ra'),
            ('site_visit_media',     'rawd'),
            ('transcripts',          'r'),
            ('media_uploads',        'rawd'),
            ('resumable_uploads',    'rawd'),
            ('recording_chunks',     'rad'),
            ('discarded_recordings', 'rad'),
            ('derivative_queue',   NULL),
            ('price_items',          'rawd'),
            ('estimates',            'ra'),
            ('estimate_lines',       'ra'),
            ('visit_streams',        'r'),
            ('processing_events',    'ra'),
            ('progress_tickets',     'a'),
            ('ai_jobs',              'r'),
            ('ai_jobs_dlq',          'r'),
            ('job_steps',            ''),
            ('cancelled_spending',   NULL),
            ('queue_control',        NULL),
            ('periodic_tasks',         NULL),
            ('queue_samples',        NULL),
            ('shares',               'a'),
            ('share_views',          ''),
            ('share_activity',       'r'),
            ('share_decisions',      'r'),
            ('analytics_events',     ''),
            ('analytics_outbox',     NULL),
            ('alerts',               NULL),
            ('operators',            NULL),
            ('ops_audit',            NULL),
            ('processes',            NULL),
            ('service_keys',         NULL),
            ('secret_rotations',     NULL)
        ) AS wanted(name, rights)
    LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_right.name);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role',
                       v_right.name);
        EXECUTE format('GRANT ALL ON public.%I TO service_role', v_right.name);
        CONTINUE WHEN v_right.rights IS NULL;
        FOR v_verb IN
            SELECT * FROM (VALUES
                ('r', 'SELECT', 'viewer', 'USING'),
                ('a', 'INSERT', 'member', 'WITH CHECK'),
                ('w', 'UPDATE', 'member', 'USING'),  -- of the row before and after
                ('d', 'DELETE', 'member', 'USING')
            ) AS v(letter, name, min_role, clause)
        LOOP
            IF strpos(v_right.rights, v_verb.letter) > 0 THEN
                EXECUTE format('GRANT %s ON public.%I TO authenticated', v_verb.name, v_right.name);
            END IF;
            -- Also where there is no right now: rights on columns follow below.
            EXECUTE format(
                'CREATE POLICY %I ON public.%I FOR %s TO authenticated %s (%I = (SELECT public.current_tenant_id(%L)))',
                lower(v_verb.name) || '_as_' || v_verb.min_role, v_right.name, v_verb.name, v_verb.clause,
                CASE v_right.name WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END, v_verb.min_role);
        END LOOP;
    END LOOP;
END $$;

-- A record of what was done is read and added to, and never changed.
REVOKE ALL ON public.ops_audit FROM service_role;
GRANT SELECT, INSERT ON public.ops_audit TO service_role;
REVOKE UPDATE, DELETE, TRUNCATE ON public.flag_changes FROM service_role;

-- Columns -------------------------------------------------------------------------------------------------------------

-- An administrator changes the profile and the branding; money, flags and limits are not the tenant's to set here.
GRANT UPDATE (profile, accent, logo_path, updated_at) ON public.tenant_settings TO authenticated;
CREATE POLICY changed_by_admins ON public.tenant_settings AS RESTRICTIVE FOR UPDATE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('admin')));

-- A client enqueues a plain job; its turn, lease, attempts and results are the queue's to write.
GRANT INSERT (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, trace_context, created_by,
              priority, run_at) ON public.ai_jobs TO authenticated;
-- A tenant may queue a job for later, and behind others; never before them, as priority goes before fairness.
CREATE POLICY bounded_priority_and_time ON public.ai_jobs AS RESTRICTIVE FOR INSERT TO authenticated
    WITH CHECK (priority BETWEEN -10 AND 0
                AND run_at BETWEEN now() - interval '1 hour' AND now() + interval '90 days 1 hour');

-- A ticket stands for its maker's own token and for no longer than a minute. The gateway later acts under its claims, so
-- whoever may insert a row (on Supabase any user may, by REST) must not write another tenant's into it.
-- A viewer watches too.
DROP POLICY insert_as_member ON public.progress_tickets;
CREATE POLICY insert_as_viewer ON public.progress_tickets FOR INSERT TO authenticated
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id())
                AND claims = (SELECT auth.jwt())
                AND expires_at <= clock_timestamp() + interval '1 minute');

-- Of a share only its revocation changes by its owner's hand; views and passcode tries are counted by functions. Hashes
-- are for comparing, never for reading: not even the tenant that owns the share can list them.
GRANT SELECT (id, tenant_id, visit_id, estimate_id, recipient, has_passcode, failed_passcodes, locked_until, max_views,
              views, expires_at, revoked_at, created_by, created_at) ON public.shares TO authenticated;
GRANT UPDATE (revoked_at) ON public.shares TO authenticated;
GRANT SELECT (id, tenant_id, share_id, user_agent_class, address_prefix, opened_at) ON public.share_views
    TO authenticated;

-- Schema scopekit -----------------------------------------------------------------------------------------------------

-- A user's transaction runs in the role `authenticated`, and calls the functions that check its tenant.
GRANT USAGE ON SCHEMA scopekit TO authenticated;

REVOKE ALL ON ALL TABLES IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT SELECT ON scopekit.job_statuses TO authenticated, service_role;
GRANT SELECT, UPDATE ON SEQUENCE scopekit.turn_served TO service_role;

-- Functions -----------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA scopekit TO service_role;

-- By name, whatever its arguments; a name that no function has is an error.
DO $$
DECLARE
    v_right     record;
    v_signature regprocedure;
BEGIN
    FOR v_right IN
        SELECT wanted.schema, wanted.roles, name FROM (VALUES
            -- What a tenant's user calls: pure, or checking the tenant, or running with the caller's own rights.
            ('public', 'authenticated, service_role', ARRAY[
                'current_tenant_id', 'search_text', 'share_state']),
            ('public', 'authenticated', ARRAY['find_price_items', 'resembling_price_items', 'rotate_share']),
            ('scopekit', 'authenticated', ARRAY['cancel_job', 'job_correlation', 'set_visits_status', 'queue_position']),
            -- The runbook's, and the worker's.
            ('public', 'service_role', ARRAY[
                'check_analytics_outbox', 'check_processing_slo', 'check_upload_retries', 'claim_ai_jobs', 'move_to_dlq',
                'price_candidates']),
            ('public', '', ARRAY['check_estimate_totals']),
            -- The relay: streams of every tenant, opened for a verified token.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'bus_has_leader', 'lead_bus', 'committed_since', 'events_after', 'register_listener', 'open_streams',
                'stream_heads', 'stream_snapshot', 'non_members', 'redeem_ticket', 'maintain_bus', 'member_role']),
            -- The customer with a link, who has no token: as the gateway's login, and as no role that a token could name.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'decide_share', 'log_share_activity', 'open_share', 'share_by_token', 'share_document', 'share_logo',
                'share_updates', 'share_photo', 'share_session', 'tenant_of_share', 'try_passcode']),
            -- Numbers across tenants, and no row.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'alert_states', 'due_jobs', 'job_outcomes', 'outbox_state', 'queue_depths', 'queue_health',
                'queue_history', 'queue_minutes', 'queue_overdue', 'queue_switches', 'tenant_flags', 'tenant_usage',
                'dead_letter_growth', 'report_process', 'unregister_process']),
            -- The operators' functions, each of which asks who calls.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'actor', 'audit_log', 'dead_letter_causes', 'dead_letters', 'discard_dead_letter', 'flag_history',
                'flags_of_tenants', 'is_operator', 'kill_flag', 'killed_flags', 'dead_letter_waits', 'live_processes',
                'begin_action', 'operator_hold', 'operator_pause', 'operator_release', 'operator_resume', 'require_operator',
                'restore_flag', 'retry_dead_letter', 'set_flag', 'set_flag_everywhere', 'waiting_dead_letters'])
        ) AS wanted(schema, roles, names), unnest(names) AS name
    LOOP
        v_signature := format('%I.%I', v_right.schema, v_right.name)::regproc::regprocedure;
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated, scopekit_gateway', v_signature);
        IF v_right.schema = 'public' THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM service_role', v_signature);
        END IF;
        IF v_right.roles <> '' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_signature, v_right.roles);
        END IF;
    END LOOP;
END $$;

-- Supabase Storage ----------------------------------------------------------------------------------------------------

-- Whose objects are whose. Elsewhere the gateway holds the same rules over a plain S3 bucket, and this does not run.
DO $$
DECLARE
    -- current_tenant_id() is null for a user who may not: then nothing matches.
    c_own CONSTANT text := $p$ bucket_id = 'site-visits'
        AND split_part(name, '/', 1) = (SELECT public.current_tenant_id(%L))::text $p$;
BEGIN
    IF to_regclass('storage.objects') IS NULL THEN
        RETURN;
    END IF;
    -- Supabase has it on, and lets only the owner of the table switch it.
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = 'storage.objects'::regclass) THEN
        ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
    END IF;
    DROP POLICY IF EXISTS "site-visits: a tenant reads its own" ON storage.objects;
    DROP POLICY IF EXISTS "site-visits: a tenant adds its own" ON storage.objects;
    EXECUTE 'CREATE POLICY "site-visits: a tenant reads its own" ON storage.objects FOR SELECT TO authenticated '
            'USING (' || format(c_own, 'viewer') || ')';
    -- No UPDATE and no DELETE: what a row vouches for by hash stays as it is, and goes only with its row.
    EXECUTE 'CREATE POLICY "site-visits: a tenant adds its own" ON storage.objects FOR INSERT TO authenticated '
            'WITH CHECK (' || format(c_own, 'member') || ')';
END $$;
