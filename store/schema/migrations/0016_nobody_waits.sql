-- No job waits for another's trouble: claims, completions and sweeps pass by visits that a transaction elsewhere holds, and
-- the leases of a worker whose session is gone are freed at once.

-- Workers whose leases hang on a database session: it has an advisory lock for as long as it lives. A row is there from a
-- worker's first session until its leases are freed; `missing_since` and `looked_at` are of looks that found no session.
CREATE TABLE public.worker_sessions (
    worker        text PRIMARY KEY,
    missing_since timestamptz,
    looked_at     timestamptz
);
ALTER TABLE public.worker_sessions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.worker_sessions FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.worker_sessions TO service_role;

DROP FUNCTION scopekit.queue_health();
DROP FUNCTION scopekit.lock_next_jobs(integer, bigint, text[], uuid[]);
DROP FUNCTION scopekit.start_next_jobs(integer, bigint, text[], uuid[], boolean, integer, text, interval);

-- Three numbers for the health check, across tenants: no row. What is for later, or held by a flag, is no backlog.
CREATE FUNCTION scopekit.queue_health(OUT depth bigint, OUT last_job_success timestamptz, OUT overdue double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT (SELECT count(*) FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now()),
           (SELECT max(finished_at) FROM public.ai_jobs WHERE status = 'completed'),
           scopekit.queue_overdue()
$$;

-- Which of these visits a transaction elsewhere holds: its stream, and with p_status the visit too. The others are locked.
-- Who would wait for one waits for all the jobs behind it.
CREATE FUNCTION scopekit.held_elsewhere(p_streams uuid[], p_status uuid[]) RETURNS uuid[] LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_held uuid[] := '{}';
BEGIN
    IF cardinality(p_status) > 0 THEN
        v_held := ARRAY(
            SELECT id FROM unnest(p_status) AS v(id)
            EXCEPT SELECT l.id FROM (SELECT id FROM public.site_visits WHERE id = ANY (p_status)
                                     ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS l);
    END IF;
    RETURN v_held || ARRAY(
        SELECT s.visit_id FROM public.visit_streams AS s WHERE s.visit_id = ANY (p_streams)
        EXCEPT SELECT l.visit_id FROM (SELECT visit_id FROM public.visit_streams WHERE visit_id = ANY (p_streams)
                                       ORDER BY visit_id FOR NO KEY UPDATE SKIP LOCKED) AS l);
END $$;

-- Lock the next up to p_limit jobs in the line of the lane `ai`, from a turn on where the priority is the ordinary one.
-- Planned for this one index whatever the statistics say: taken while the queue was empty, they would have the planner
-- sort a hundred thousand jobs at every claim.
CREATE FUNCTION scopekit.lock_next_jobs(p_limit integer, p_from bigint, p_paused text[], p_full uuid[], p_held uuid[])
    RETURNS TABLE (id uuid, tenant_id uuid, visit_id uuid, priority smallint, turn bigint) LANGUAGE plpgsql
    SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    v_lane record;
    v_left integer := p_limit;
    v_rows integer;
BEGIN
    FOR v_lane IN VALUES (-32767, -1, 0::bigint), (0, 0, p_from), (1, 32768, 0) LOOP
        EXIT WHEN v_left <= 0;
        RETURN QUERY
            SELECT j.id, j.tenant_id, j.visit_id, j.priority, j.turn FROM public.jobs AS j
            WHERE j.lane = 'ai' AND j.status = 'queued' AND -j.priority::integer BETWEEN v_lane.column1 AND v_lane.column2
              AND j.turn >= v_lane.column3 AND j.run_at <= now()
              AND j.job_type <> ALL (p_paused) AND j.tenant_id <> ALL (p_full)
              AND (NOT j.speaks OR j.visit_id <> ALL (p_held))
            ORDER BY -j.priority::integer, j.turn, j.id LIMIT v_left FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
    END LOOP;
END $$;

-- Start up to p_limit of the next p_look in line, of each tenant as many as it has room for. `full_tenants` are those that
-- had none left for a job seen here, `held` the visits that a transaction elsewhere holds; `first` and `last` are the turns
-- seen at ordinary priority.
CREATE FUNCTION scopekit.start_next_jobs(p_limit integer, p_look integer, p_from bigint, p_paused text[], p_full uuid[],
                                         p_held uuid[], p_capped boolean, p_cap integer, p_worker text, p_lease interval,
                                         OUT ids uuid[], OUT full_tenants uuid[], OUT held uuid[], OUT first bigint,
                                         OUT last bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_seen   uuid[];
    v_visits uuid[];
BEGIN
    SELECT coalesce(array_agg(n.id), '{}'), coalesce(array_agg(n.visit_id), '{}') INTO v_seen, v_visits
    FROM scopekit.lock_next_jobs(p_look, p_from, p_paused, p_full, p_held) AS n;
    held := scopekit.held_elsewhere(v_visits, '{}');
    SELECT coalesce((array_agg(f.id ORDER BY f.priority DESC, f.turn, f.id) FILTER (WHERE f.nth <= f.free))[1:p_limit],
                    '{}'),
           coalesce(array_agg(DISTINCT f.tenant_id) FILTER (WHERE f.nth > f.free), '{}'),
           min(f.turn) FILTER (WHERE f.priority = 0), max(f.turn) FILTER (WHERE f.priority = 0)
    INTO ids, full_tenants, first, last FROM (
        SELECT n.*, row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.priority DESC, n.turn, n.id) AS nth,
               CASE WHEN p_capped THEN coalesce(scopekit.free_slots(n.tenant_id, p_cap), p_limit) ELSE p_limit END AS free
        FROM public.jobs AS n
        WHERE n.id = ANY (v_seen) AND (NOT n.speaks OR n.visit_id <> ALL (held))
    ) AS f;
    UPDATE public.jobs
    SET status = 'running', attempts = attempts + 1, lease_token = gen_random_uuid(),
        lease_expires_at = now() + p_lease, worker = p_worker, started_at = now()
    WHERE id = ANY (ids);
END $$;

-- Start up to p_limit due jobs of the lane `ai`: priority, then turn (fairness between tenants), then age; of a tenant no
-- more than its
-- cap allows. p_engine makes this worker's estimates: while its breaker is open none is claimed, and one at a time while
-- it is half open. With p_everywhere false it looks only from the turn now served on, and may miss a job whose transaction
-- was open while others were served; a worker that asks like that asks everywhere every second or two.
--
-- The commit does not wait for its flush. A crash of the server may take the claim back, and with it the token: the job
-- is queued as it was, its worker's writes change nothing, and the next claim gives the same attempt its number again.
-- Whatever is written under the token reaches the disk after the claim, because WAL has one order; so no result, retry
-- or dead letter outlives its claim.
CREATE OR REPLACE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                     p_lease interval DEFAULT interval '60 s', p_cap integer DEFAULT NULL,
                                     p_everywhere boolean DEFAULT true, p_engine text DEFAULT NULL)
    RETURNS SETOF public.jobs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c_slack  CONSTANT integer := 64;  -- turns served while an INSERT may still be on its way to its commit
    v_capped CONSTANT boolean := scopekit.has_tenant_caps(p_cap);
    v_slots  integer := scopekit.engine_slots(p_engine);
    v_limit  integer := p_limit;
    v_paused text[] := scopekit.paused_types();
    v_current CONSTANT bigint := scopekit.current_turn('ai', 0::smallint);
    v_full   uuid[] := '{}';
    v_held   uuid[] := '{}';
    v_look   integer := 0;
    v_ids    uuid[] := '{}';
    v_first  bigint;
    v_some   record;
BEGIN
    IF 'all' = ANY (v_paused) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF v_capped OR v_slots IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7263118205);
        -- A worker that freezes before its COMMIT must not hold up everybody's claims: it loses this one.
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
        v_slots := scopekit.engine_slots(p_engine);
        v_limit := CASE v_slots WHEN 1 THEN least(p_limit, 1) ELSE p_limit END;
        v_paused := CASE v_slots WHEN 0 THEN v_paused || 'estimate'::text ELSE v_paused END;
    END IF;
    PERFORM scopekit.promote_due_jobs(100, ARRAY['ai']);
    LOOP  -- Once; once more for every tenant that is found full, and further on past visits that are held elsewhere.
        SELECT * INTO v_some FROM scopekit.start_next_jobs(
            v_limit - cardinality(v_ids), greatest(v_limit - cardinality(v_ids), v_look),
            CASE WHEN p_everywhere THEN 0 ELSE v_current - c_slack END,
            v_paused, v_full, v_held, v_capped, p_cap, p_worker, p_lease);
        v_ids := v_ids || v_some.ids;
        v_full := v_full || v_some.full_tenants;
        v_held := v_held || v_some.held;
        v_first := least(v_first, v_some.first);
        EXIT WHEN cardinality(v_some.full_tenants || v_some.held) = 0 OR cardinality(v_ids) >= v_limit
                  OR cardinality(v_held) > 5000;
        v_look := CASE WHEN cardinality(v_some.held) > 0 THEN least(4 * cardinality(v_held), 1000) ELSE 0 END;
    END LOOP;
    -- Past a tenant that waits for its cap, or a visit that is held, the front does not move; where nobody is left in line
    -- it goes on by one.
    IF cardinality(v_full || v_held) = 0 THEN
        PERFORM scopekit.advance_turn(CASE WHEN cardinality(v_ids) < v_limit THEN v_some.last + 1 ELSE v_first END);
    END IF;
    PERFORM scopekit.bulk_append_events(
        'job.started', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(jsonb_build_object('attempt', attempts, 'worker', worker,
                                     'correlation_id', coalesce(correlation_id, id::text))),
        p_background => array_agg(NOT ends_stream))
    FROM (
        WITH started AS MATERIALIZED (SELECT * FROM public.jobs WHERE id = ANY (v_ids))
        SELECT * FROM started WHERE speaks ORDER BY visit_id
    ) AS started HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM public.jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Start up to p_limits[i] due jobs of each lane p_lanes[i], which is none that people wait for: no cap of tenants, no
-- engine, and few enough at a time that a look from the beginning of its line is quick. The commit does not wait for its
-- flush, as that of claim_ai_jobs.
CREATE OR REPLACE FUNCTION scopekit.claim_background_jobs(p_lanes text[], p_limits integer[], p_worker text, p_lease interval)
    RETURNS SETOF public.jobs LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    v_paused CONSTANT text[] := scopekit.paused_types();
    v_ids    uuid[] := '{}';
    v_held   uuid[];
    v_lane   record;
BEGIN
    IF 'all' = ANY (v_paused) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM scopekit.promote_due_jobs(100, p_lanes);
    FOR v_lane IN SELECT name, most FROM unnest(p_lanes, p_limits) AS l(name, most) WHERE name <> ALL (v_paused) LOOP
        v_ids := v_ids || ARRAY(
            SELECT id FROM public.jobs
            WHERE lane = v_lane.name AND status = 'queued' AND turn IS NOT NULL AND run_at <= now()
            ORDER BY -priority::integer, turn, id LIMIT v_lane.most FOR UPDATE SKIP LOCKED);
    END LOOP;
    IF cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    v_held := scopekit.held_elsewhere(ARRAY(SELECT visit_id FROM public.jobs WHERE id = ANY (v_ids) AND speaks), '{}');
    IF cardinality(v_held) > 0 THEN
        v_ids := ARRAY(SELECT id FROM public.jobs WHERE id = ANY (v_ids) AND (NOT speaks OR visit_id <> ALL (v_held)));
    END IF;
    UPDATE public.jobs
    SET status = 'running', attempts = attempts + 1, lease_token = gen_random_uuid(),
        lease_expires_at = now() + p_lease, worker = p_worker, started_at = now()
    WHERE id = ANY (v_ids);
    PERFORM scopekit.bulk_append_events(
        'job.started', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(jsonb_build_object('attempt', attempts, 'worker', worker,
                                     'correlation_id', coalesce(correlation_id, id::text))),
        p_background => array_agg(NOT ends_stream))
    FROM (
        WITH started AS MATERIALIZED (SELECT * FROM public.jobs WHERE id = ANY (v_ids))
        SELECT * FROM started WHERE speaks ORDER BY visit_id
    ) AS started HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM public.jobs WHERE id = ANY (v_ids);
END $$;

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each token: completed, cancelled (a cancel was accepted first; left as it
-- is), lost, or busy (a transaction elsewhere holds the job, its visit or its stream; left as it is, ask again). Two attempts at one job may stand in one batch; a token is of one attempt, so all that follows goes by it.
CREATE OR REPLACE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, token uuid, answer text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_ids       CONSTANT uuid[] := ARRAY(SELECT d.id FROM jsonb_to_recordset(p_done) AS d(id uuid));
    v_tokens    CONSTANT uuid[] := ARRAY(SELECT d.token FROM jsonb_to_recordset(p_done) AS d(token uuid));
    v_locked    uuid[];
    v_elsewhere uuid[];
    v_left      uuid[];
    v_held      uuid[];
    v_cancelled uuid[];
    v_estimates uuid[];
    v_visits    uuid[];
    v_tenants   uuid[];
    v_jobs      uuid[];
    v_payloads  jsonb[];
    v_beside    boolean[];
BEGIN
    SELECT array_agg(l.id), coalesce(array_agg(l.visit_id) FILTER (WHERE l.speaks), '{}'),
           coalesce(array_agg(l.visit_id) FILTER (WHERE l.ends_stream), '{}')
    INTO v_locked, v_visits, v_estimates FROM (
        SELECT id, visit_id, speaks, ends_stream FROM public.jobs
        WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens)
        ORDER BY id FOR UPDATE SKIP LOCKED) AS l;
    v_elsewhere := scopekit.held_elsewhere(v_visits, v_estimates);
    SELECT array_agg(j.lease_token) FILTER (WHERE j.cancel_requested_at IS NULL),
           array_agg(j.lease_token) FILTER (WHERE j.cancel_requested_at IS NOT NULL),
           array_agg(j.visit_id) FILTER (WHERE j.cancel_requested_at IS NULL AND j.ends_stream)
    INTO v_held, v_cancelled, v_estimates FROM public.jobs AS j
    WHERE j.id = ANY (v_locked) AND j.lease_token = ANY (v_tokens)
      AND (NOT j.speaks OR j.visit_id <> ALL (v_elsewhere));
    PERFORM scopekit.set_visits_status(v_estimates, 'completed');
    WITH finished AS (
        UPDATE public.jobs AS j
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
    SELECT array_agg(f.visit_id), array_agg(f.tenant_id), array_agg(f.id),
           array_agg(f.result || jsonb_build_object('correlation_id', coalesce(f.correlation_id, f.id::text))),
           array_agg(NOT f.ends_stream)
    INTO v_visits, v_tenants, v_jobs, v_payloads, v_beside
    FROM (SELECT * FROM finished WHERE speaks ORDER BY visit_id) AS f;
    IF v_visits IS NOT NULL THEN
        PERFORM scopekit.bulk_append_events('job.completed', v_visits, v_tenants, v_jobs, v_payloads, p_background => v_beside);
    END IF;
    IF coalesce(cardinality(v_held), 0) < cardinality(v_tokens) THEN
        v_left := ARRAY(SELECT lease_token FROM public.jobs WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens));
    END IF;
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    WHEN d.token = ANY (v_left) THEN 'busy' ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;

-- One job is a set of one, and waits for whoever holds its visit: nobody waits behind it.
CREATE OR REPLACE FUNCTION scopekit.complete_job(p_job_id uuid, p_token uuid, p_result jsonb, p_analytics jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job CONSTANT public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    PERFORM FROM public.site_visits WHERE id = v_job.visit_id AND v_job.ends_stream FOR NO KEY UPDATE;
    PERFORM FROM public.visit_streams WHERE visit_id = v_job.visit_id AND v_job.speaks FOR NO KEY UPDATE;
    RETURN (SELECT answer = 'completed' FROM scopekit.complete_jobs(jsonb_build_array(jsonb_build_object(
        'id', p_job_id, 'token', p_token, 'result', p_result, 'analytics', p_analytics))));
END $$;

-- Whether the database has been up long enough for workers to have come back to it: a restart ends all sessions and lets
-- leases expire, and is no worker's end.
CREATE FUNCTION scopekit.is_steady() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT pg_postmaster_start_time() < now() - interval '3 s' $$;

-- This session is the worker's: its leases hang on it. False while another session of the worker's has not ended yet.
CREATE FUNCTION scopekit.hold_session(p_worker text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_lock(7263, hashtext(p_worker)) THEN
        RETURN false;
    END IF;
    INSERT INTO public.worker_sessions (worker) VALUES (p_worker)
    ON CONFLICT (worker) DO UPDATE SET missing_since = NULL, looked_at = NULL;
    RETURN true;
END $$;

-- Let the leases of workers expire whose sessions are gone: two looks in a row, 1.8 s apart or more, have found none, so
-- that one that only connects again keeps its jobs. Returns how many leases.
CREATE FUNCTION scopekit.expire_sessions() RETURNS integer LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_look   CONSTANT timestamptz := clock_timestamp();
    v_worker public.worker_sessions;
    v_some   integer;
    v_all    integer := 0;
BEGIN
    IF NOT scopekit.is_steady() THEN
        RETURN 0;
    END IF;
    FOR v_worker IN
        SELECT * FROM public.worker_sessions AS w WHERE NOT EXISTS (
            SELECT FROM pg_locks AS l
            WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 7263 AND l.objsubid = 2
              AND l.objid::bigint = (hashtext(w.worker)::bigint & 4294967295)
              AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
        FOR UPDATE SKIP LOCKED
    LOOP
        IF v_worker.missing_since IS NULL OR v_worker.looked_at < v_look - interval '3 s' THEN
            UPDATE public.worker_sessions SET missing_since = v_look, looked_at = v_look WHERE worker = v_worker.worker;
        ELSIF v_worker.missing_since > v_look - interval '1.8 s' THEN
            UPDATE public.worker_sessions SET looked_at = v_look WHERE worker = v_worker.worker;
        ELSE
            UPDATE public.jobs SET lease_expires_at = now() - interval '1 ms'
            WHERE id IN (SELECT id FROM public.jobs WHERE status = 'running' AND worker = v_worker.worker
                         FOR UPDATE SKIP LOCKED);
            GET DIAGNOSTICS v_some = ROW_COUNT;
            v_all := v_all + v_some;
            IF NOT EXISTS (SELECT FROM public.jobs WHERE status = 'running' AND worker = v_worker.worker
                           AND lease_expires_at >= now()) THEN
                DELETE FROM public.worker_sessions WHERE worker = v_worker.worker;
            END IF;
        END IF;
    END LOOP;
    RETURN v_all;
END $$;

-- Free up to p_limit expired leases, let as many due jobs join the line, and count the jobs that wait for a worker. Jobs
-- whose visit a transaction elsewhere holds are left to the next sweep. The visits of all are locked in the order of their
-- ids, before it is decided what becomes of each job.
CREATE OR REPLACE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_found     CONSTANT public.jobs[] := ARRAY(
        SELECT j FROM public.jobs AS j WHERE status = 'running' AND lease_expires_at < now() AND scopekit.is_steady()
        ORDER BY lease_expires_at LIMIT 10 * p_limit FOR UPDATE SKIP LOCKED);
    v_elsewhere CONSTANT uuid[] := scopekit.held_elsewhere(
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE speaks),
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE ends_stream));
    v_expired   CONSTANT public.jobs[] := ARRAY(
        SELECT f FROM unnest(v_found) AS f WHERE NOT f.speaks OR f.visit_id <> ALL (v_elsewhere) LIMIT p_limit);
    v_cancelled public.jobs[] := '{}';
    v_dead      public.jobs[] := '{}';
    v_again     public.jobs[] := '{}';
    v_job       public.jobs;
BEGIN
    FOREACH v_job IN ARRAY v_expired LOOP
        v_job.lost_leases := v_job.lost_leases + 1;
        IF v_job.cancel_requested_at IS NOT NULL THEN
            v_cancelled := v_cancelled || v_job;
        ELSIF v_job.lost_leases >= 3 OR v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
            v_job.last_error := format('The worker stopped in the middle of this job, %s time(s).', v_job.lost_leases);
            v_job.error_code := 'worker_lost';
            v_dead := v_dead || v_job;
        ELSE
            v_again := v_again || v_job;
        END IF;
    END LOOP;
    PERFORM scopekit.cancel_locked_jobs(v_cancelled), scopekit.dead_letter_jobs(v_dead), scopekit.requeue_lost(v_again);
    PERFORM scopekit.promote_due_jobs(p_limit, ARRAY(SELECT lane FROM public.job_kinds UNION SELECT 'ai'));
    requeued := cardinality(v_again); dead := cardinality(v_dead); cancelled := cardinality(v_cancelled);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

REVOKE ALL ON FUNCTION scopekit.queue_health() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.queue_health() TO scopekit_gateway, service_role;
REVOKE ALL ON FUNCTION scopekit.held_elsewhere(uuid[], uuid[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.held_elsewhere(uuid[], uuid[]) TO service_role;
REVOKE ALL ON FUNCTION scopekit.lock_next_jobs(integer, bigint, text[], uuid[], uuid[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.lock_next_jobs(integer, bigint, text[], uuid[], uuid[]) TO service_role;
REVOKE ALL ON FUNCTION scopekit.start_next_jobs(integer, integer, bigint, text[], uuid[], uuid[], boolean, integer, text, interval) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.start_next_jobs(integer, integer, bigint, text[], uuid[], uuid[], boolean, integer, text, interval) TO service_role;
REVOKE ALL ON FUNCTION scopekit.is_steady() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.is_steady() TO service_role;
REVOKE ALL ON FUNCTION scopekit.hold_session(text) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.hold_session(text) TO service_role;
REVOKE ALL ON FUNCTION scopekit.expire_sessions() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.expire_sessions() TO service_role;

