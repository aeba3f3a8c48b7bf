-- name: newest
-- Letters that wait, the newest first.
SELECT id, job_id, tenant_id, tenant, visit_id, job_type, error_code, cause, last_error, attempts, moved_at
FROM scopekit.dead_letters($1);

-- name: causes
-- How many died of what.
SELECT job_type, error_code, cause, letters, tenants, oldest, newest FROM scopekit.dead_causes();

-- name: of_cause
-- Who died of this, the oldest first.
SELECT id FROM scopekit.letters_of_cause($1, $2, $3, $4);

-- name: retry
-- Queue it again; the job's id.
SELECT scopekit.retry_letter($1, $2);

-- name: discard
-- Let it go; the job's id.
SELECT scopekit.discard_letter($1, $2);
