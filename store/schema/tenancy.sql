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

-- Who belongs to a company, and as what.
CREATE TABLE public.memberships (
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL,
    role       text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);

-- The tenant that the request's token names; null (and so no row at all) without one.
CREATE FUNCTION public.current_tenant_id() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(auth.jwt() -> 'app_metadata' ->> 'tenant_id', '')::uuid $$;

-- Whether the request's user may change the tenant's settings. A missing role is no role: NULL never passes.
CREATE FUNCTION public.is_tenant_admin() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(auth.jwt() -> 'app_metadata' ->> 'role' IN ('admin', 'owner'), false)
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

-- Relays hear of it when it commits: a removed member's streams end.
CREATE FUNCTION scopekit.tell_revoked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('scopekit_control', jsonb_build_object(
        'kind', 'revoked', 'tenant_id', OLD.tenant_id, 'user_id', OLD.user_id)::text);
    RETURN NULL;
END $$;

CREATE TRIGGER tell_revoked AFTER DELETE ON public.memberships
    FOR EACH ROW EXECUTE FUNCTION scopekit.tell_revoked();

-- Which of these users are no member of the tenant named beside them. A relay asks after a time without notifications.
CREATE FUNCTION scopekit.strangers(p_tenant_ids uuid[], p_user_ids uuid[])
    RETURNS TABLE (tenant_id uuid, user_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT asked.tenant_id, asked.user_id FROM unnest(p_tenant_ids, p_user_ids) AS asked (tenant_id, user_id)
    WHERE NOT EXISTS (SELECT 1 FROM public.memberships m
                      WHERE m.tenant_id = asked.tenant_id AND m.user_id = asked.user_id)
$$;
