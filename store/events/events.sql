-- name: append
-- One event of a visit; the trigger gives its seq and tells the relays.
INSERT INTO processing_events (visit_id, tenant_id, job_id, type, payload) VALUES ($1, $2, $3, $4, $5) RETURNING seq;

-- name: after
-- The events of a visit after a position, as they go out.
SELECT seq, document FROM scopekit.events_after($1, $2, $3);

-- name: after_each
-- The same for several, $1 each with a position in $2: `number` is which of them, from 1.
SELECT number, seq, document
FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS asked (visit_id, position, number)
CROSS JOIN LATERAL scopekit.events_after(asked.visit_id, asked.position, $3)
ORDER BY number, seq;

-- name: heads
-- Where streams stand: last_seq, the type of what ended them, whether the tenant may have the stream, the ends of all its epochs.
SELECT visit_id, last_seq, ended_by, enabled, epoch_gaps AS epoch_ends FROM scopekit.stream_heads($1);

-- name: initial_states
-- What streams are opened with, for pairs of tenant $1 and visit $3: may this tenant have it, where does it stand, if $4
-- what the latest job has done, and if there is a user $2, who the tenant's members are.
SELECT opened.visit_id, enabled, visible, last_seq, epoch_gaps AS epoch_ends, job_id, ended_by, steps, members
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[]) WITH ORDINALITY
    AS asked (tenant_id, user_id, visit_id, snapshot, number)
CROSS JOIN LATERAL scopekit.open_streams(tenant_id, user_id, ARRAY[asked.visit_id], snapshot) AS opened
ORDER BY number;

-- name: at_work
-- The visits of the request's tenant that have a job waiting or running, the newest first.
SELECT visit_id FROM ai_jobs WHERE status IN ('queued', 'running') ORDER BY created_at DESC LIMIT $1;

-- name: non_members
-- Which of these users have less than the role named beside them in their tenants.
SELECT tenant_id, user_id, min_role FROM scopekit.non_members($1, $2, $3);

-- name: watch_rights
-- Whether the request may watch a visit: its tenant's flags, its user's role there, whether RLS shows it the visit.
SELECT (SELECT feature_flags FROM tenant_settings WHERE tenant_id = current_tenant_id()) AS flags,
       (SELECT role FROM memberships WHERE user_id = auth.uid()) AS role,
       EXISTS (SELECT 1 FROM site_visits WHERE id = $1) AS visible;

-- name: notify
-- A word to every relay on a channel of theirs.
SELECT pg_notify($1, $2);

-- name: prune
-- Delete old steps of some visits after one of them: the last visit looked at, and how many events went.
SELECT last_visit, removed FROM scopekit.prune_events($1, $2, $3);
