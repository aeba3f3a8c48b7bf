-- Companies (tenants), their settings and their members.
--
-- Every row of a tenant carries its tenant_id, and composite foreign keys keep a child in its parent's tenant.
-- Invariants stand in the tables as CHECKs and partial unique indexes, not in handlers.

-- A company. None of the mails of a test company leave.
CREATE TABLE public.tenants (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    is_test    boolean NOT NULL DEFAULT false
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
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- What a new share shows the customer, unless it says otherwise.
    display          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(display) = 'object'),
    -- Days after which a customer is reminded of a mailed estimate that was not opened, or not answered; null: never.
    remind_unopened_days   integer DEFAULT 3 CHECK (remind_unopened_days BETWEEN 1 AND 60),
    remind_unanswered_days integer DEFAULT 5 CHECK (remind_unanswered_days BETWEEN 1 AND 60)
);
CREATE INDEX tenant_settings_capped ON public.tenant_settings (tenant_id) WHERE max_running_jobs IS NOT NULL;

-- Who belongs to a company, and as what. This row is all authority there is: a token only says who is asking.
CREATE TABLE public.memberships (
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    role       text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Which mails this person gets: off, mine or all for each topic they have chosen.
    notifications jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(notifications) = 'object'),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_of_user ON public.memberships (user_id);

-- A membership may name a user of an identity provider whom nothing here knows yet.
CREATE FUNCTION scopekit.know_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.users (id) VALUES (NEW.user_id) ON CONFLICT (id) DO NOTHING;
    RETURN NEW;
END $$;

CREATE TRIGGER know_user BEFORE INSERT ON public.memberships
    FOR EACH ROW EXECUTE FUNCTION scopekit.know_user();

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
