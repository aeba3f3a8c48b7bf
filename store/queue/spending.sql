-- name: spent_on_models
-- The cost of a tenant's model calls since the month began (UTC), the part of one job ($2), and the tenant's limit.
-- A job's calls stand in its checkpoints, and when those are dropped in its estimate, or on their own if it was cancelled.
WITH month AS (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS began)
SELECT coalesce(sum(cost) FILTER (WHERE job_id = $2), 0) AS job,
       coalesce(sum(cost) FILTER (WHERE created_at >= (SELECT began FROM month)), 0) AS month,
       (SELECT model_budget FROM tenant_settings WHERE tenant_id = $1) AS month_limit
FROM (SELECT s.job_id, s.created_at, (c ->> 'cost')::numeric AS cost
      FROM job_steps s, jsonb_array_elements(s.value -> 'calls') AS c
      WHERE s.tenant_id = $1 AND (s.created_at >= (SELECT began FROM month) OR s.job_id = $2)
        AND jsonb_typeof(s.value -> 'calls') = 'array'
      UNION ALL
      SELECT e.job_id, e.created_at, (e.usage ->> 'cost')::numeric
      FROM estimates e
      WHERE e.tenant_id = $1 AND (e.created_at >= (SELECT began FROM month) OR e.job_id = $2) AND e.job_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM job_steps s WHERE s.job_id = e.job_id)
      UNION ALL
      SELECT x.job_id, x.spent_at, x.cost FROM cancelled_spending x
      WHERE x.tenant_id = $1 AND (x.spent_at >= (SELECT began FROM month) OR x.job_id = $2)) AS paid;
