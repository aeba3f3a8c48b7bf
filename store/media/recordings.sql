-- name: hold_recording
-- One transaction of a recording at a time, from here to its end: what it is made of is asked before it is added to.
SELECT pg_advisory_xact_lock(hashtextextended('recording ' || current_tenant_id() || $1::uuid, 0));

-- name: insert_chunk
-- A chunk that is safely stored; no row when its place is taken.
INSERT INTO recording_chunks (tenant_id, visit_id, recording_id, sequence, storage_path, content_type, file_size,
                              sha256, is_whole, declared_type)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, recording_id, sequence) DO NOTHING RETURNING *;

-- name: get_chunk
-- The chunk at one place.
SELECT * FROM recording_chunks WHERE recording_id = $1 AND sequence = $2;

-- name: other_type
-- The type of a recording's chunks, when it is another than $2; a chunk without a header says nothing of it.
SELECT content_type FROM recording_chunks WHERE recording_id = $1 AND is_whole AND content_type <> $2 LIMIT 1;

-- name: size_beside
-- How much has come of a recording, apart from the chunk at one place.
SELECT coalesce(sum(file_size), 0)::bigint FROM recording_chunks WHERE recording_id = $1 AND sequence <> $2;

-- name: chunks_of_recording
-- All chunks of a recording, in order.
SELECT * FROM recording_chunks WHERE recording_id = $1 AND visit_id = $2 ORDER BY sequence;

-- name: delete_chunks
-- They are a medium now.
DELETE FROM recording_chunks WHERE storage_path = ANY ($1);

-- name: mark_discarded
-- Nothing is added to it any more; marks of a month ago go.
WITH old AS (DELETE FROM discarded_recordings WHERE discarded_at < now() - interval '30 days')
INSERT INTO discarded_recordings (tenant_id, visit_id, recording_id)
SELECT tenant_id, id, $2::uuid FROM site_visits WHERE id = $1 ON CONFLICT DO NOTHING;

-- name: is_discarded
-- Whether nobody wants it.
SELECT EXISTS (SELECT FROM discarded_recordings WHERE recording_id = $1);
