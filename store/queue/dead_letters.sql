-- name: newest
-- Letters that wait, the newest first.
SELECT id, job_id, tenant_id, tenant, visit_id, job_type, error_code, cause, last_error, attempts, moved_at
FROM scopekit.dead_letters($1);

-- name: causes
-- How many died of what.
SELECT job_type, error_code, cause, letters, tenants, oldest, newest FROM scopekit.dead_letter_causes();

-- name: waits
-- Whether a letter is there and waits.
SELECT scopekit.dead_letter_waits($1);

-- name: waiting
-- Those of a kind, the oldest first, after one of them.
SELECT id FROM scopekit.waiting_dead_letters($1, $2, $3, $4, $5);

-- name: retry
-- Queue it again; the job's id.
SELECT scopekit.retry_dead_letter($1, $2);

-- name: discard
-- Let it go; the job's id.
SELECT scopekit.discard_dead_letter($1, $2);
