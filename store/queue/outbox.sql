-- name: event
-- An event that is to be delivered.
SELECT id, event, properties, tenant_id, user_id, "timestamp" FROM public.analytics_events WHERE id = $1;

-- name: state
-- What waits, since when, and what was refused.
SELECT waiting, oldest_seconds, refused FROM scopekit.outbox_state();
