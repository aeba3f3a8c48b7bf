-- name: hold_key
-- Whether the key is ours to the end of the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('idempotency ' || $1::uuid || $2::uuid || encode($3::bytea, 'hex'), 0));

-- name: answer_of_key
-- The answer that was given under a key, within this time.
SELECT fingerprint, status, headers, body FROM idempotency_keys
WHERE tenant_id = $1 AND user_id = $2 AND key_hash = $3 AND created_at > now() - $4::interval;

-- name: keep_answer
-- One answer, in place of one that is too old to count.
INSERT INTO idempotency_keys (tenant_id, user_id, key_hash, fingerprint, status, headers, body)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, user_id, key_hash) DO UPDATE
SET fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers, body = excluded.body,
    created_at = now();

-- name: forget_keys
-- Those older than this, at most 10,000.
DELETE FROM idempotency_keys WHERE ctid = ANY (
    ARRAY(SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval LIMIT 10000));
