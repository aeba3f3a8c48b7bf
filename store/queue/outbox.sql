-- name: take
-- Events whose delivery is due, ours for the length of a lease.
SELECT id, attempts, event, properties, tenant_id, user_id, "timestamp" FROM scopekit.claim_outbox($1, $2);

-- name: delivered
-- The receiver has it: nothing is owed any more.
DELETE FROM public.analytics_outbox WHERE event_id = $1;

-- name: postpone
-- Not now: again after a while, unless somebody else has it by now.
UPDATE public.analytics_outbox SET due_at = now() + $3, last_error = $4 WHERE event_id = $1 AND attempts = $2;

-- name: refuse
-- The receiver will never take it; kept for whoever looks into it.
UPDATE public.analytics_outbox SET refused_at = now(), last_error = $3 WHERE event_id = $1 AND attempts = $2;

-- name: give_back
-- Not tried: due at once, and the attempt does not count.
UPDATE public.analytics_outbox SET due_at = now(), attempts = attempts - 1 WHERE event_id = $1 AND attempts = $2;

-- name: state
-- What waits, since when, and what was refused.
SELECT waiting, oldest_seconds, refused FROM scopekit.outbox_state();

-- name: forget
-- What nobody came for: where no receiver is set, events stay in their own table alone.
DELETE FROM public.analytics_outbox AS o USING public.analytics_events AS e
WHERE e.id = o.event_id AND e."timestamp" < now() - $1::interval;
