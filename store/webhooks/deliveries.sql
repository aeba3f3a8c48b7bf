-- name: read
-- A delivery as a worker needs it.
SELECT d.id, d.endpoint_id, d.state, m.id AS message_id, m.type, m.happened_at, m.data::text AS data,
       e.url, e.status, e.failures,
       greatest(extract(epoch FROM e.not_before - now()), 0)::double precision AS wait_s,
       ARRAY(SELECT s.secret FROM public.webhook_secrets AS s
             WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > now())
             ORDER BY s.expires_at DESC NULLS FIRST) AS keys
FROM public.webhook_deliveries AS d
JOIN public.webhook_messages AS m ON m.id = d.message_id
JOIN public.webhook_endpoints AS e ON e.id = d.endpoint_id
WHERE d.id = $1;

-- name: begin_probe
-- One delivery asks an endpoint that is away; the others wait.
UPDATE public.webhook_endpoints SET not_before = now() + $2::interval
WHERE id = $1 AND failures > 0 AND not_before <= now() RETURNING id;

-- name: note_answer
-- Keeps an answer in the log.
SELECT scopekit.note_webhook_answer($1, $2, $3, $4, $5);

-- name: note_working
-- The endpoint takes deliveries again. Nearly always it did before, and nothing is written.
UPDATE public.webhook_endpoints SET failures = 0, failing_since = NULL, not_before = NULL
WHERE id = $1 AND failing_since IS NOT NULL;

-- name: note_failure
-- The endpoint did not take one; its status.
SELECT scopekit.note_webhook_failure($1, $2, $3, $4);

-- name: disable
-- The receiver is gone for good (410).
UPDATE public.webhook_endpoints SET status = 'disabled', reason = 'gone', updated_at = now()
WHERE id = $1 AND status = 'active';

-- name: give_up
-- A delivery that is tried no more.
UPDATE public.webhook_deliveries SET state = 'failed' WHERE id = $1 AND state = 'pending';

-- name: forget
-- Deletes some events of before a time, with their deliveries; how many.
WITH old AS (
    SELECT id FROM public.webhook_messages WHERE happened_at < now() - $1::interval
    ORDER BY happened_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM public.webhook_messages AS m USING old WHERE m.id = old.id RETURNING m.id
)
SELECT count(*) FROM gone;

-- name: notice
-- Who is to hear that an endpoint is paused, while it is and while they are an owner.
SELECT u.email, t.name AS company, e.url
FROM public.webhook_endpoints AS e
JOIN public.tenants AS t ON t.id = e.tenant_id
JOIN public.memberships AS m ON m.tenant_id = e.tenant_id AND m.user_id = $2 AND m.role = 'owner'
JOIN public.users AS u ON u.id = m.user_id
WHERE e.id = $1 AND e.status = 'paused' AND e.reason = 'failing' AND u.email IS NOT NULL;
