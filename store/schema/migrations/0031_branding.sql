-- What a tenant's documents look like: its own words (profile), one colour and a logo.
ALTER TABLE public.tenant_settings
    ADD COLUMN accent    text CHECK (accent ~ '^#[0-9a-f]{6}$'),  -- its contrast is checked where it is set
    ADD COLUMN logo_path text CHECK (logo_path ~ ('^' || tenant_id || '/brand/[0-9a-z]{1,32}$'));

-- Whether the request's user may change what is the tenant's. A missing role is no role: NULL never passes.
CREATE FUNCTION public.is_tenant_admin() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(auth.jwt() -> 'app_metadata' ->> 'role' IN ('admin', 'owner'), false)
$$;
REVOKE ALL ON FUNCTION public.is_tenant_admin() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.is_tenant_admin() TO authenticated, service_role;

GRANT UPDATE (profile, accent, logo_path, updated_at) ON public.tenant_settings TO authenticated;
CREATE POLICY changed_by_admins ON public.tenant_settings AS RESTRICTIVE FOR UPDATE TO authenticated
    USING ((SELECT public.is_tenant_admin()));
