-- Plans that do not depend on how empty the queue was when they were made; completions fenced by their tokens to the last
-- row; and every event by which a job moves names the request that asked for it.

-- Plans of claims, renewals and completions are kept for a session's life, and a worker that waits makes them before
-- there is a job: for an empty table that is a scan of all of it, until the first ANALYZE. Every claim then read the
-- whole table, 19 ms at 15,000 jobs. So each statement names the ids it wants (`id = ANY (...)`), and none may scan.

-- Otherwise as in 0016; when nothing is due, which is nearly always, it ends there.
CREATE OR REPLACE FUNCTION scopekit.line_up(p_limit integer) RETURNS integer LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_due CONSTANT uuid[] := ARRAY(
        SELECT id FROM public.ai_jobs WHERE status = 'queued' AND turn IS NULL AND run_at <= now()
        ORDER BY run_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
BEGIN
    IF cardinality(v_due) = 0 THEN
        RETURN 0;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT id, tenant_id, priority, run_at FROM public.ai_jobs WHERE id = ANY (v_due)
    ), ends AS MATERIALIZED (
        SELECT tenant_id, priority, scopekit.next_turn(tenant_id, priority) AS turn FROM due GROUP BY 1, 2
    ), placed AS (
        SELECT due.id, ends.turn - 1 + row_number() OVER (
                   PARTITION BY tenant_id, priority ORDER BY due.run_at, due.id) AS turn
        FROM due JOIN ends USING (tenant_id, priority)
    )
    UPDATE public.ai_jobs AS j SET turn = placed.turn FROM placed WHERE j.id = placed.id AND j.id = ANY (v_due);
    RETURN cardinality(v_due);
END $$;

-- Otherwise as in 0045.
CREATE OR REPLACE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                                p_lease interval DEFAULT interval '60 s', p_cap integer DEFAULT NULL,
                                                p_everywhere boolean DEFAULT true, p_engine text DEFAULT NULL)
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c_slack  CONSTANT integer := 64;  -- turns served while an INSERT may still be on its way to its commit
    v_capped CONSTANT boolean := scopekit.is_capped(p_cap);
    v_room   integer := scopekit.engine_room(p_engine);
    v_limit  integer := p_limit;
    v_rest   text[] := scopekit.paused_types();
    v_served CONSTANT bigint := scopekit.front(0::smallint);
    v_full   uuid[] := '{}';
    v_ids    uuid[] := '{}';
    v_first  bigint;
    v_some   record;
BEGIN
    IF 'all' = ANY (v_rest) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF v_capped OR v_room IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7263118205);
        -- A worker that freezes before its COMMIT must not hold up everybody's claims: it loses this one.
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
        v_room := scopekit.engine_room(p_engine);
        v_limit := CASE v_room WHEN 1 THEN least(p_limit, 1) ELSE p_limit END;
        v_rest := CASE v_room WHEN 0 THEN v_rest || 'estimate'::text ELSE v_rest END;
    END IF;
    PERFORM scopekit.line_up(100);
    LOOP  -- Once; and once more for every tenant that is found full.
        SELECT * INTO v_some FROM scopekit.start_next(
            v_limit - cardinality(v_ids), CASE WHEN p_everywhere THEN 0 ELSE v_served - c_slack END,
            v_rest, v_full, v_capped, p_cap, p_worker, p_lease);
        v_ids := v_ids || v_some.ids;
        v_full := v_full || v_some.full_tenants;
        v_first := least(v_first, v_some.first);
        EXIT WHEN cardinality(v_some.full_tenants) = 0 OR cardinality(v_ids) >= v_limit;
    END LOOP;
    -- Past a tenant that waits for its cap the front does not move; where nobody is left in line it goes on by one.
    IF cardinality(v_full) = 0 THEN
        PERFORM scopekit.serve(CASE WHEN cardinality(v_ids) < v_limit THEN v_some.last + 1 ELSE v_first END);
    END IF;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    WITH started AS MATERIALIZED (SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids))
    SELECT visit_id, tenant_id, id, 'job.started',
           jsonb_build_object('attempt', attempts, 'worker', worker,
                              'correlation_id', coalesce(correlation_id, id::text))
    FROM started ORDER BY visit_id;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Otherwise as in 0005. A token is of one attempt at one job, so that no pairs need be compared.
CREATE OR REPLACE FUNCTION scopekit.renew_leases(p_jobs uuid[], p_tokens uuid[], p_lease interval)
    RETURNS TABLE (job_id uuid, cancel_requested boolean) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    UPDATE public.ai_jobs SET lease_expires_at = now() + p_lease
    WHERE id = ANY (ARRAY(SELECT id FROM public.ai_jobs WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens)
                          FOR UPDATE SKIP LOCKED));
    RETURN QUERY SELECT id, cancel_requested_at IS NOT NULL FROM public.ai_jobs
                 WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens);
END $$;

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each token: completed, cancelled (somebody asked first; left as it is) or
-- lost. Two attempts at one job may stand in one batch; a token is of one attempt, so all that follows goes by it.
DROP FUNCTION scopekit.complete_jobs(jsonb);
CREATE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, token uuid, answer text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_ids       CONSTANT uuid[] := ARRAY(SELECT d.id FROM jsonb_to_recordset(p_done) AS d(id uuid));
    v_tokens    CONSTANT uuid[] := ARRAY(SELECT d.token FROM jsonb_to_recordset(p_done) AS d(token uuid));
    v_held      uuid[];
    v_cancelled uuid[];
    v_estimates uuid[];
BEGIN
    SELECT array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NULL),
           array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NOT NULL),
           array_agg(l.visit_id) FILTER (WHERE l.cancel_requested_at IS NULL AND l.job_type = 'estimate')
    INTO v_held, v_cancelled, v_estimates FROM (
        SELECT lease_token, cancel_requested_at, visit_id, job_type FROM public.ai_jobs
        WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens)
        ORDER BY id FOR UPDATE) AS l;
    PERFORM scopekit.move_visits(v_estimates, 'completed');
    WITH finished AS (
        UPDATE public.ai_jobs AS j
        SET status = 'completed', result = d.result, finished_at = clock_timestamp(), last_error = NULL,
            error_code = NULL, lease_token = NULL, lease_expires_at = NULL
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid, result jsonb, analytics jsonb)
        WHERE j.id = d.id AND j.lease_token = d.token AND j.id = ANY (v_ids) AND j.lease_token = ANY (v_held)
        RETURNING j.*, d.analytics
    ), forgotten AS (
        DELETE FROM public.job_steps AS s USING finished AS f WHERE s.job_id = f.id
    ), counted AS (
        INSERT INTO public.analytics_events (event, properties, tenant_id, user_id)
        SELECT f.analytics ->> 'event', coalesce(f.analytics -> 'properties', '{}'), f.tenant_id, f.created_by
        FROM finished AS f WHERE f.analytics ->> 'event' IS NOT NULL
    )
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT f.visit_id, f.tenant_id, f.id, 'job.completed',
           f.result || jsonb_build_object('correlation_id', coalesce(f.correlation_id, f.id::text))
    FROM finished AS f ORDER BY f.visit_id;
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;
REVOKE ALL ON FUNCTION scopekit.complete_jobs(jsonb) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.complete_jobs(jsonb) TO service_role;

-- Otherwise as in 0056.
CREATE OR REPLACE FUNCTION scopekit.cancel_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids CONSTANT uuid[] := ARRAY(SELECT id FROM unnest(p_jobs));
BEGIN
    UPDATE public.ai_jobs
    SET status = 'cancelled', finished_at = now(), cancel_requested_at = coalesce(cancel_requested_at, now()),
        lease_token = NULL, lease_expires_at = NULL
    WHERE id = ANY (v_ids);
    WITH dropped AS (DELETE FROM public.job_steps WHERE job_id = ANY (v_ids) RETURNING *)
    INSERT INTO public.cancelled_spending (job_id, step, item, tenant_id, cost, spent_at)
    SELECT d.job_id, d.step, d.item, d.tenant_id, sum((c ->> 'cost')::numeric), d.created_at
    FROM dropped d,
         jsonb_array_elements(CASE WHEN jsonb_typeof(d.value -> 'calls') = 'array' THEN d.value -> 'calls' END) AS c
    WHERE c ->> 'cost' IS NOT NULL
    GROUP BY d.job_id, d.step, d.item, d.tenant_id, d.created_at
    ON CONFLICT DO NOTHING;
    PERFORM scopekit.move_visits(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.cancelled', scopekit.correlation(j) FROM unnest(p_jobs) AS j
    ORDER BY j.visit_id;
END $$;

-- Otherwise as in 0046.
CREATE OR REPLACE FUNCTION scopekit.requeue_lost(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.released', scopekit.correlation(j) FROM unnest(p_jobs) AS j
    ORDER BY j.visit_id;
END $$;
