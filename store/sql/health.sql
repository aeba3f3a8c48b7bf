-- name: ping
-- The cheapest answer there is.
SELECT 1;

-- name: queue_health
-- Queued jobs of all tenants, and when one last completed.
SELECT depth, last_job_success FROM scopekit.queue_health();
