-- name: any_expired
-- Whether a form expired $1 ago.
SELECT EXISTS (SELECT 1 FROM media_uploads WHERE expires_at < now() - $1::interval);

-- name: lock_expired
-- The longest expired of them, for this transaction alone.
SELECT tenant_id, id, storage_path FROM media_uploads WHERE expires_at < now() - $1::interval
ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: forget
-- Nothing lies under their keys any more.
DELETE FROM media_uploads USING unnest($1::uuid[], $2::uuid[]) AS gone (tenant_id, id)
WHERE media_uploads.tenant_id = gone.tenant_id AND media_uploads.id = gone.id;
