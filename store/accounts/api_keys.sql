-- name: read
-- A key in force.
SELECT tenant_id, secret_hash FROM scopekit.read_api_key($1);

-- name: create
-- Makes a key for the request's company; its id.
SELECT scopekit.create_api_key($1, $2, $3);

-- name: revoke
-- Revokes one of the request's company.
SELECT scopekit.revoke_api_key($1);

-- name: list_all
-- Those of the request's company that are in force.
SELECT id, name, role, created_at, last_used_at FROM scopekit.list_api_keys();

-- name: page
-- $1 of them, the newest first, behind $2 and $3.
SELECT id, name, role, created_at, last_used_at FROM scopekit.list_api_keys()
WHERE $2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid) ORDER BY created_at DESC, id DESC LIMIT $1;
