-- name: take_wanted
-- The newest photo that waits for its JPEGs, with its row; nobody else takes it for $1. The third try is the last.
WITH taken AS (
    UPDATE derivative_queue SET tries = tries + 1, due_at = now() + $1
    WHERE media_id = (SELECT media_id FROM derivative_queue WHERE tries < 3 AND due_at <= now()
                      ORDER BY due_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING media_id
)
SELECT m.* FROM site_visit_media AS m JOIN taken ON taken.media_id = m.id;

-- name: forget_wanted
-- They are made, or never will be.
DELETE FROM derivative_queue WHERE media_id = $1;
