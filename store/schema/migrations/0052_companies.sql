-- A company page reads with the user's companies which of them are test companies.

DROP FUNCTION scopekit.companies_of(uuid);
-- The companies of a user, and the role in each.
CREATE FUNCTION scopekit.companies_of(p_user_id uuid)
    RETURNS TABLE (tenant_id uuid, name text, role text, is_test boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id, t.name, m.role, t.is_test FROM public.memberships m JOIN public.tenants t ON t.id = m.tenant_id
    WHERE m.user_id = p_user_id ORDER BY t.name, t.id
$$;
REVOKE ALL ON FUNCTION scopekit.companies_of(uuid) FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.companies_of(uuid) TO service_role, scopekit_gateway;
