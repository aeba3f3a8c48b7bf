-- name: delete
-- Put a visit into the bin for $2 days; when it goes for good.
SELECT scopekit.delete_visit($1, $2);

-- name: restore
-- Take a visit out of the bin.
SELECT scopekit.restore_visit($1);

-- name: purge_now
-- Let a visit in the bin go for good.
SELECT scopekit.purge_visit($1);

-- name: has_admin
-- Whether the request's user is an admin.
SELECT public.current_tenant_id('admin') IS NOT NULL;

-- name: deleted
-- Visits in the bin: $1 how many, $2 and $3 behind which.
SELECT * FROM scopekit.deleted_visits($1, $2, $3);

-- name: due
-- Visits whose time in the bin is over, of any company, behind $1.
SELECT id, tenant_id FROM site_visits
WHERE deleted_at IS NOT NULL AND purge_at <= now() AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT 100;

-- name: purge
-- Delete a visit whose time in the bin is over, with all that hangs on it.
DELETE FROM site_visits WHERE id = $1 AND deleted_at IS NOT NULL AND purge_at <= now();
