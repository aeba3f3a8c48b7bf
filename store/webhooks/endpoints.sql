-- name: create
-- Makes one with its secret; no row for one who may not, a null id where there are enough.
SELECT id FROM scopekit.create_webhook_endpoint($1, $2, $3, $4, $5);

-- name: listed
-- Those of the request's company, the newest first.
SELECT id, url, description, event_types, status, reason, failing_since, not_before AS next_try_at, created_at, updated_at
FROM public.webhook_endpoints WHERE tenant_id = public.current_tenant_id('admin') ORDER BY id DESC;

-- name: read
-- One of the request's company.
SELECT id, url, description, event_types, status, reason, failing_since, not_before AS next_try_at, created_at, updated_at
FROM public.webhook_endpoints WHERE tenant_id = public.current_tenant_id('admin') AND id = $1;

-- name: change
-- Changes one. A change of url or status begins anew: what went wrong before does not count.
UPDATE public.webhook_endpoints AS e
SET url = $2, description = $3, event_types = $4, status = $5, reason = $6, updated_at = now(),
    failures = CASE WHEN (e.url, e.status) = ($2, $5) THEN e.failures ELSE 0 END,
    failing_since = CASE WHEN (e.url, e.status) = ($2, $5) THEN e.failing_since END,
    not_before = CASE WHEN (e.url, e.status) = ($2, $5) THEN e.not_before END
WHERE e.tenant_id = public.current_tenant_id('admin') AND e.id = $1
RETURNING id, url, description, event_types, status, reason, failing_since, not_before AS next_try_at, created_at, updated_at;

-- name: remove
-- Deletes one, with its log.
DELETE FROM public.webhook_endpoints WHERE tenant_id = public.current_tenant_id('admin') AND id = $1 RETURNING id;

-- name: rotate
-- Signs with a new secret, and for a while with the one before too.
SELECT scopekit.rotate_webhook_secret($1, $2, $3);

-- name: test
-- Queues a test event.
SELECT scopekit.own_webhook_test($1);

-- name: redeliver
-- Queues one delivery, or all failed ones since a time.
SELECT scopekit.own_redelivery($1, $2, $3);

-- name: deliveries
-- An endpoint's log, the newest first, behind a position.
SELECT d.id, m.type, d.message_id, d.state, d.tries, d.answers, d.created_at
FROM public.webhook_deliveries AS d JOIN public.webhook_messages AS m ON m.id = d.message_id
WHERE d.tenant_id = public.current_tenant_id('admin') AND d.endpoint_id = $1
  AND ($2::text[] IS NULL OR d.state = ANY ($2)) AND ($3::uuid IS NULL OR d.id < $3)
ORDER BY d.id DESC LIMIT $4;

-- name: delivery
-- One of an endpoint's deliveries, with its event.
SELECT d.id, m.type, d.message_id, d.state, d.tries, d.answers, d.created_at, m.data, m.happened_at
FROM public.webhook_deliveries AS d JOIN public.webhook_messages AS m ON m.id = d.message_id
WHERE d.tenant_id = public.current_tenant_id('admin') AND d.endpoint_id = $1 AND d.id = $2;
