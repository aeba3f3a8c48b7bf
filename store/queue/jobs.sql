-- name: insert_job
-- Queue a job; no row when its key is known or the visit has an active job of this type. The table tells the rest.
INSERT INTO public.jobs
    (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, created_by, priority, run_at, trace_context)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, greatest($9, now()), $10)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: job_by_key
-- The first job of a type and idempotency key, also when it is dead.
SELECT *, scopekit.job_correlation(id) AS correlation_id FROM scopekit.job_statuses
WHERE tenant_id = $1 AND job_type = $2 AND idempotency_key = $3 LIMIT 1;

-- name: active_job
-- The visit's job that is queued or running.
SELECT id FROM public.jobs WHERE visit_id = $1 AND job_type = $2 AND status IN ('queued', 'running');

-- name: job_status
-- One job as its tenant sees it.
SELECT *, scopekit.job_correlation(id) AS correlation_id FROM scopekit.job_statuses WHERE id = $1 LIMIT 1;

-- name: list_jobs
-- Jobs as their tenant sees them, newest first: $1 of them, behind $2 and $3; of a visit $4 and with a status $5, or any.
SELECT *, scopekit.job_correlation(id) AS correlation_id FROM scopekit.job_statuses
WHERE ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
  AND visit_id IS NOT NULL AND ($4::uuid IS NULL OR visit_id = $4) AND ($5::text[] IS NULL OR status = ANY ($5))
ORDER BY created_at DESC, id DESC LIMIT $1;

-- name: latest_job_status
-- The newest job of a visit, of one type.
SELECT *, scopekit.job_correlation(id) AS correlation_id FROM scopekit.job_statuses
WHERE visit_id = $1 AND job_type = $2 ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: cancel
-- Cancel, or ask the worker to; null when it is not the caller's.
SELECT scopekit.cancel_job($1);

-- name: has_material
-- Whether a visit holds anything an estimate could be made from; no row when the visit is not the caller's.
SELECT notes <> '' OR EXISTS (SELECT FROM public.site_visit_media WHERE visit_id = $1)
FROM public.site_visits WHERE id = $1;

-- name: claim
-- Start due jobs: limit, worker, lease, cap of a tenant, whether to look everywhere, engine.
SELECT * FROM public.claim_ai_jobs($1, $2, $3, $4, $5, $6);

-- name: claim_background
-- Start due jobs of lanes: lanes, the limit of each, worker, lease.
SELECT * FROM scopekit.claim_background_jobs($1, $2, $3, $4);

-- name: renew
-- Extend leases and tell which are still held, and which are to stop.
SELECT job_id, cancel_requested FROM scopekit.renew_leases($1, $2, $3);

-- name: append_events
-- Tell the subscribers; false when the lease is lost.
SELECT scopekit.append_events($1, $2, $3, $4);

-- name: checkpoint
-- What an earlier attempt kept.
SELECT value FROM public.job_steps WHERE job_id = $1 AND step = $2 AND item = $3;

-- name: put_checkpoint
-- Keep a value for the next attempt; false when the lease is lost.
SELECT scopekit.put_checkpoint($1, $2, $3, $4, $5);

-- name: begin_completion
-- Lock the job for its finishing transaction: held, cancelled or lost.
SELECT scopekit.begin_completion($1, $2);

-- name: complete
-- Result, final event and analytics; false when the lease is lost.
SELECT scopekit.complete_job($1, $2, $3, $4);

-- name: complete_many
-- Result, final event and analytics of many jobs; what became of each.
SELECT job_id, token, answer FROM scopekit.complete_jobs($1);

-- name: fail
-- Retry after a delay, or dead-letter without one; the state now, null when the lease is lost.
SELECT scopekit.fail_job($1, $2, $3, $4, $5, $6);

-- name: release
-- Hand back with the attempt refunded; the state now, null when the lease is lost.
SELECT scopekit.release_job($1, $2);

-- name: finish_cancelled
-- The worker has stopped; the state now, null when the lease is lost.
SELECT scopekit.finish_cancelled($1, $2);

-- name: sweep
-- Free expired leases; count what is due.
SELECT requeued, dead, cancelled, due FROM scopekit.sweep($1);

-- name: hold_session
-- Let this worker's leases hang on this session; false while an earlier one of its has not ended.
SELECT scopekit.hold_session($1);

-- name: expire_sessions
-- Let the leases of workers expire whose sessions are gone; how many.
SELECT scopekit.expire_sessions();

-- name: due_jobs
-- The next jobs in line, of every tenant.
SELECT * FROM scopekit.due_jobs($1);

-- name: outcomes
-- What became of these jobs, of every tenant.
SELECT job_id, visit_id, status, result, error FROM scopekit.job_outcomes($1);
