-- name: of_tenant
-- One tenant's nested flags.
SELECT scopekit.tenant_flags($1);

-- name: set_flag
-- Set one tenant's flag; its value now.
SELECT scopekit.set_flag($1, $2, to_jsonb($3::boolean), $4);

-- name: set_everywhere
-- Set a flag of every tenant; for how many that was a change.
SELECT scopekit.set_flag_everywhere($1, to_jsonb($2::boolean), $3);

-- name: kill
-- Off for everybody; for how many it was on.
SELECT scopekit.kill_flag($1, $2);

-- name: restore
-- On again for those it was on for; how many.
SELECT scopekit.restore_flag($1, $2);

-- name: by_tenant
-- Every tenant with its flags.
SELECT tenant_id, tenant, flags, kept FROM scopekit.flags_of_tenants($1);

-- name: killed
-- What is off for everybody.
SELECT name, actor, reason, killed_at, kept FROM scopekit.killed_flags();

-- name: history
-- The newest changes, of one tenant or of all.
SELECT tenant_id, tenant, name, before, after, actor, reason, changed_at FROM scopekit.flag_history($1, $2);
