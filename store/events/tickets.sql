-- name: issue
-- A ticket to one visit's stream, by the hash of its secret; it has to open one within $5 seconds.
INSERT INTO progress_tickets (ticket_hash, tenant_id, visit_id, claims, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5));

-- name: use
-- The claims that a ticket to visit $2 stands for; with $3 it opens a stream.
SELECT claims FROM scopekit.use_ticket($1, $2, $3) AS claims;
