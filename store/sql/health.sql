-- name: ping
-- The cheapest answer there is.
SELECT 1;

-- name: queue_health
-- Queued jobs of all tenants, and when one last completed.
SELECT depth, last_job_success FROM scopekit.queue_health();

-- name: notify_queue_usage
-- How full the server's queue of notifications is.
SELECT pg_notification_queue_usage();

-- name: queue_depths
-- How many jobs wait, run or are dead, and since when the oldest does.
SELECT status, depth, oldest_seconds FROM scopekit.queue_depths();
