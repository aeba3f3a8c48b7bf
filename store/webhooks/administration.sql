-- name: listed
-- Endpoints of all companies, or of one, with what is owed to each.
SELECT e.id, e.tenant_id, t.name AS company, e.url, e.status, e.reason, e.failing_since,
       (SELECT count(*) FROM public.webhook_deliveries AS d WHERE d.endpoint_id = e.id AND d.state = 'pending') AS pending,
       (SELECT count(*) FROM public.webhook_deliveries AS d WHERE d.endpoint_id = e.id AND d.state = 'failed') AS failed
FROM public.webhook_endpoints AS e JOIN public.tenants AS t ON t.id = e.tenant_id
WHERE $1::uuid IS NULL OR e.tenant_id = $1 ORDER BY t.name, e.id;

-- name: test
-- Queues a test event; no row for an unknown endpoint.
SELECT scopekit.queue_webhook_test(tenant_id, id) AS done FROM public.webhook_endpoints WHERE id = $1;

-- name: redeliver
-- Queues one delivery, or all failed ones since a time; no row for an unknown endpoint.
SELECT scopekit.queue_redelivery(tenant_id, id, $2, $3) AS done FROM public.webhook_endpoints WHERE id = $1;
