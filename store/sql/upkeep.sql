-- name: take_chore
-- Whether this tick's chore is ours.
SELECT scopekit.take_chore($1, $2);

-- name: prune
-- Forget finished jobs that are older than this.
SELECT scopekit.prune($1);

-- name: sample
-- How many jobs there are now, for the curve over time.
SELECT scopekit.sample_queue();

-- name: samples
-- The curve over time.
SELECT at, queued, running, dead FROM scopekit.queue_history($1);

-- name: check_alerts
-- Ask every alert; which are to be told again, and which are over.
SELECT name, firing, value, since, tell, over FROM scopekit.check_alerts($1) ORDER BY name;
