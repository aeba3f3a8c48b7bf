-- name: ping
-- The cheapest answer there is.
SELECT 1;

-- name: queue_health
-- Due jobs of all tenants, when one last completed, and how long the oldest has been due.
SELECT depth, last_job_success, overdue FROM scopekit.queue_health();

-- name: notify_queue_usage
-- How full the server's queue of notifications is.
SELECT pg_notification_queue_usage();

-- name: alert_states
-- What the alerts said, and how long ago they were asked.
SELECT name AS alert, firing, value, age_seconds FROM scopekit.alert_states();

-- name: dead_letter_growth
-- The last week's dead letters, by day and kind.
SELECT date, job_type, failed_count, avg_attempts FROM scopekit.dead_letter_growth();

-- name: queue_depths
-- How many jobs wait, run or are dead, and since when the oldest does.
SELECT status, depth, oldest_seconds, average_seconds FROM scopekit.queue_depths();

-- name: queue_kinds
-- The jobs of each kind that are not over.
SELECT job_type, waiting, later, running, dead, oldest_seconds, paused FROM scopekit.queue_kinds();

-- name: queue_overdue
-- How long the longest waits that may start.
SELECT scopekit.queue_overdue();

-- name: queue_minutes
-- The last hour, minute by minute.
SELECT minute, completed, p50_seconds, p95_seconds FROM scopekit.queue_minutes();

-- name: tenant_usage
-- What each tenant has used.
SELECT tenant_id, name, visits_today, estimates_today, total_mb FROM scopekit.tenant_usage();
