-- name: prune
-- Forget finished jobs that are older than this.
SELECT scopekit.prune($1);

-- name: sample
-- How many jobs there are now, for the curve over time.
SELECT scopekit.sample_queue();

-- name: samples
-- The curve over time.
SELECT at, queued, running, dead FROM scopekit.queue_history($1);

-- name: slo
-- The runbook's two alerts.
SELECT public.check_processing_slo() AS slow, public.check_upload_retries() AS failing_uploads;

-- name: check_alerts
-- Ask every alert; which are to be told again, and which are over.
SELECT name, firing, value, since, notify, resolved, firing AND since = now() AS began FROM scopekit.check_alerts($1) ORDER BY name;
