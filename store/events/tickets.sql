-- name: issue
-- A ticket to one visit's stream, by the hash of its secret; it lives $5 seconds.
INSERT INTO progress_tickets (ticket_hash, tenant_id, visit_id, claims, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5));

-- name: take
-- Whose a ticket is; it works once.
SELECT tenant_id, visit_id, claims FROM scopekit.take_ticket($1);
