-- name: append
-- One event of a visit; the trigger gives its seq and tells the relays.
INSERT INTO processing_events (visit_id, tenant_id, job_id, type, payload) VALUES ($1, $2, $3, $4, $5) RETURNING seq;

-- name: after
-- The events of a visit after a position, as they go out.
SELECT seq, document FROM scopekit.events_after($1, $2, $3);

-- name: heads
-- Where streams stand: last_seq, what last happened to a job, whether the tenant may have the stream.
SELECT visit_id, last_seq, job_event, enabled FROM scopekit.stream_heads($1);

-- name: openings
-- What streams are opened with: may this tenant have them, where do they stand and, if $3, what the latest job has done.
SELECT visit_id, enabled, visible, last_seq, job_id, job_event, steps FROM scopekit.open_streams($1, $2, $3);

-- name: gate
-- Whether the request may watch a visit: its tenant's flags, and whether RLS shows it the visit.
SELECT (SELECT feature_flags FROM tenant_settings WHERE tenant_id = current_tenant_id()) AS flags,
       EXISTS (SELECT 1 FROM site_visits WHERE id = $1) AS visible;

-- name: notify
-- A word to every relay on a channel of theirs.
SELECT pg_notify($1, $2);
