-- name: insert_sync_event
-- What an app says happened while it was out of reach: visit, event, payload.
INSERT INTO visit_sync_events (visit_id, created_by, event, payload)
VALUES ($1, auth.uid(), $2, $3) RETURNING id, visit_id, event, payload, created_at;
