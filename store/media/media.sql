-- name: insert_media
-- A medium whose object is safely stored; no row when the id is taken, by whomever.
INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, sha256,
                              original_name, label, sequence, duration_ms, width, height, status, problem, created_by,
                              declared_type, note, original_path, original_type, original_size, original_sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: get_media
-- One medium, when it is the caller's.
SELECT * FROM site_visit_media WHERE id = $1;

-- name: lock_media
-- One medium, when it is the caller's, held to the end of the transaction.
SELECT * FROM site_visit_media WHERE id = $1 FOR UPDATE;

-- name: media_of_visit
-- All media of a visit in the order they were taken.
SELECT * FROM site_visit_media WHERE visit_id = $1 ORDER BY sequence NULLS LAST, created_at, id;

-- name: media_page
-- Media of a visit behind a place ($3 to $5) in the order they were taken; those without a number come last.
SELECT * FROM site_visit_media
WHERE visit_id = $1
  AND ($5::uuid IS NULL
       OR (coalesce(sequence, 2147483647), created_at, id) > ($3::integer, $4::timestamptz, $5::uuid))
ORDER BY coalesce(sequence, 2147483647), created_at, id LIMIT $2;

-- name: media_by_hash
-- Which of these hashes a visit holds, as what was sent or what was made of it: the oldest medium of each.
SELECT DISTINCT ON (sha256) sha256, media_id FROM (
    SELECT sha256, id AS media_id, created_at FROM site_visit_media WHERE visit_id = $1 AND sha256 = ANY ($2)
    UNION ALL
    SELECT original_sha256, id, created_at FROM site_visit_media WHERE visit_id = $1 AND original_sha256 = ANY ($2)
) AS held ORDER BY sha256, created_at, media_id;

-- name: set_label
-- Rename a medium.
UPDATE site_visit_media SET label = $2 WHERE id = $1 RETURNING *;

-- name: delete_media
-- Remove a medium's row; its objects follow. The upload it came by would tell whoever sends it again that it is here.
WITH upload AS (DELETE FROM resumable_uploads WHERE media_id = $1 AND stored_at IS NOT NULL)
DELETE FROM site_visit_media WHERE id = $1 RETURNING *;

-- name: promise_upload
-- Remember a presigned upload, and return the key that its form is for. Forms of one id share a key as long as one of
-- them may write to it, so that they make one object, and keep the room of the largest. No row: of another visit.
INSERT INTO media_uploads (id, tenant_id, visit_id, storage_path, content_type, file_size, room, sha256, original_name,
                           label, sequence, duration_ms, created_by, expires_at, declared_type)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12, now() + $13, $14)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    content_type = EXCLUDED.content_type, declared_type = EXCLUDED.declared_type, file_size = EXCLUDED.file_size,
    room = greatest(media_uploads.room, EXCLUDED.room),
    sha256 = EXCLUDED.sha256, original_name = EXCLUDED.original_name, label = EXCLUDED.label,
    sequence = EXCLUDED.sequence, duration_ms = EXCLUDED.duration_ms, created_by = EXCLUDED.created_by,
    created_at = now(), expires_at = EXCLUDED.expires_at, completed_at = NULL
WHERE media_uploads.visit_id = EXCLUDED.visit_id
RETURNING storage_path;

-- name: promised_upload
-- A presigned upload that is not complete yet.
SELECT * FROM media_uploads WHERE id = $1 AND visit_id = $2 AND completed_at IS NULL;

-- name: complete_upload
-- It is a medium now; its form may be used still.
UPDATE media_uploads SET completed_at = now() WHERE id = $1 AND storage_path = $2;
