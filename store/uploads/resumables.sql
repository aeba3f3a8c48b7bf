-- name: create_upload
-- A file that is to come in pieces; no row when its medium has an upload already.
INSERT INTO resumable_uploads (tenant_id, visit_id, media_id, storage_path, content_type, file_size, sha256,
                               original_name, label, sequence, duration_ms, created_by, metadata, declared_type,
                               expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now() + $15)
ON CONFLICT (tenant_id, media_id) DO NOTHING RETURNING *;

-- name: open_uploads
-- How many a tenant has under way. Asked under the tenant's lock, so that two cannot both be the last.
SELECT count(*) FROM resumable_uploads WHERE stored_at IS NULL AND expires_at > now();

-- name: upload_of_medium
-- The upload a medium has.
SELECT *, expires_at <= now() AS expired FROM resumable_uploads WHERE media_id = $1;

-- name: get_upload
-- One upload, when it is the caller's.
SELECT *, expires_at <= now() AS expired FROM resumable_uploads WHERE id = $1;

-- name: claim_upload
-- One writer at a time; one that has not been heard of for a while is replaced, and its later writes touch no row.
UPDATE resumable_uploads SET writer = $2, writer_until = clock_timestamp() + $3
WHERE id = $1 AND stored_at IS NULL AND expires_at > now() AND (writer IS NULL OR writer_until < clock_timestamp())
RETURNING *;

-- name: renew_claim
-- Bytes are still coming.
UPDATE resumable_uploads SET writer_until = clock_timestamp() + $3 WHERE id = $1 AND writer = $2 RETURNING id;

-- name: commit_upload
-- What is durable now: received, multipart id, etags, tail, and what it is. Nothing when another writer has taken over.
UPDATE resumable_uploads SET
    received = $3, multipart_id = $4, etags = $5, tail_path = $6, content_type = $7,
    writer_until = clock_timestamp() + $8, expires_at = now() + $9
WHERE id = $1 AND writer = $2 RETURNING *;

-- name: release_claim
-- The next writer need not wait.
UPDATE resumable_uploads SET writer = NULL, writer_until = NULL WHERE id = $1 AND writer = $2;

-- name: mark_stored
-- It is a medium now; the row stays until it expires, for a client that has not heard the answer.
UPDATE resumable_uploads SET stored_at = now(), writer = NULL, writer_until = NULL
WHERE id = $1 AND writer = $2 RETURNING id;

-- name: delete_upload
-- Ended by its client, or refused.
DELETE FROM resumable_uploads WHERE id = $1 RETURNING *;
