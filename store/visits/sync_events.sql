-- name: insert_sync_event
-- What an app says happened while it was out of reach: visit, event, payload.
INSERT INTO visit_sync_events (visit_id, created_by, event, payload)
VALUES ($1, auth.uid(), $2, $3) RETURNING id, visit_id, event, payload, created_at;

-- name: sync_events_of_visit
-- Reports about a visit, newest first: $2 of them, behind $3 and $4.
SELECT id, visit_id, event, payload, created_at FROM visit_sync_events
WHERE visit_id = $1 AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC LIMIT $2;

-- name: get_sync_event
-- One report about a visit.
SELECT id, visit_id, event, payload, created_at FROM visit_sync_events WHERE visit_id = $1 AND id = $2;
