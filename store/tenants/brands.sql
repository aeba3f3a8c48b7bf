-- name: own_brand
-- What the request's tenant's documents look like.
SELECT t.id AS tenant_id, t.name, s.profile, s.accent, s.logo_path, s.display
FROM tenants t JOIN tenant_settings s ON s.tenant_id = t.id WHERE t.id = current_tenant_id();

-- name: change_profile
-- Merges new words and choices into the tenant's own, and sets or forgets its colour.
UPDATE tenant_settings SET profile = profile || $1, accent = $2, display = display || $3, updated_at = now()
WHERE tenant_id = current_tenant_id() RETURNING tenant_id;

-- name: set_logo
-- Puts a logo in its place, or none; the row tells which one it was before.
UPDATE tenant_settings s SET logo_path = $1, updated_at = now()
FROM (SELECT tenant_id, logo_path FROM tenant_settings WHERE tenant_id = current_tenant_id() FOR UPDATE) AS old
WHERE s.tenant_id = old.tenant_id RETURNING old.logo_path;
