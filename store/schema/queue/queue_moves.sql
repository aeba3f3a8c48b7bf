-- What happens to a job after its claim: a worker's moves, a tenant's, and the sweeper's.

-- A worker's moves ----------------------------------------------------------------------------------------------------

-- Lock a job for its worker; null when the lease is lost.
CREATE FUNCTION scopekit.lock_leased_job(p_job_id uuid, p_token uuid) RETURNS public.jobs LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs WHERE id = p_job_id AND lease_token = p_token FOR UPDATE;
    RETURN v_job;
END $$;

-- Extend all leases of one process; returns those it still holds. A row that another session is writing at this moment
-- is held but extended only the next time: one slow commit must not hold up the others. A token is of one attempt at one
-- job, so that no pairs need be compared.
CREATE FUNCTION scopekit.renew_leases(p_jobs uuid[], p_tokens uuid[], p_lease interval)
    RETURNS TABLE (job_id uuid, cancel_requested boolean) LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    UPDATE public.jobs SET lease_expires_at = now() + p_lease
    WHERE id = ANY (ARRAY(SELECT id FROM public.jobs WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens)
                          FOR UPDATE SKIP LOCKED));
    RETURN QUERY SELECT id, cancel_requested_at IS NOT NULL FROM public.jobs
                 WHERE id = ANY (p_jobs) AND lease_token = ANY (p_tokens);
END $$;

-- Append events [{type, payload}, ...] in order, unless the kind does not speak; false when the lease is lost.
-- `p_relaxed` may lose the last few to a power cut and spares each of them a disk write: for progress only.
CREATE FUNCTION scopekit.append_events(p_job_id uuid, p_token uuid, p_events jsonb, p_relaxed boolean DEFAULT false)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    ELSIF NOT v_job.speaks THEN
        RETURN true;
    END IF;
    IF p_relaxed THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT v_job.visit_id, v_job.tenant_id, v_job.id, event.value ->> 'type', event.value -> 'payload',
           NOT v_job.ends_stream
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS event(value, position) ORDER BY event.position;
    RETURN true;
END $$;

-- Keep a step's value; false when the lease is lost.
CREATE FUNCTION scopekit.put_checkpoint(p_job_id uuid, p_token uuid, p_step text, p_item text, p_value jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO public.job_steps (job_id, step, item, tenant_id, visit_id, value)
    VALUES (p_job_id, p_step, p_item, v_job.tenant_id, v_job.visit_id, p_value)
    ON CONFLICT (job_id, step, item) DO UPDATE SET value = excluded.value, created_at = now();
    RETURN true;
END $$;

-- First statement of the finishing transaction: 'held', 'cancelled' (a cancel was accepted first) or 'lost'.
CREATE FUNCTION scopekit.begin_completion(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    RETURN CASE WHEN v_job.id IS NULL THEN 'lost' WHEN v_job.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'held' END;
END $$;

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each token: completed, cancelled (a cancel was accepted first; left as it
-- is), lost, or busy (a transaction elsewhere holds the job, its visit or its stream; left as it is, ask again). Two attempts at one job may stand in one batch; a token is of one attempt, so all that follows goes by it.
CREATE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, token uuid, answer text)
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
CREATE FUNCTION scopekit.complete_job(p_job_id uuid, p_token uuid, p_result jsonb, p_analytics jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job CONSTANT public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    PERFORM FROM public.site_visits WHERE id = v_job.visit_id AND v_job.ends_stream FOR NO KEY UPDATE;
    PERFORM FROM public.visit_streams WHERE visit_id = v_job.visit_id AND v_job.speaks FOR NO KEY UPDATE;
    RETURN (SELECT answer = 'completed' FROM scopekit.complete_jobs(jsonb_build_array(jsonb_build_object(
        'id', p_job_id, 'token', p_token, 'result', p_result, 'analytics', p_analytics))));
END $$;

-- The worker could not finish. Without p_delay another try makes no sense; p_refund gives the attempt back.
-- Returns the state the job is in now: queued, failed or cancelled; null when the lease is lost.
CREATE FUNCTION scopekit.fail_job(p_job_id uuid, p_token uuid, p_error text, p_code text, p_delay interval,
                                  p_refund boolean DEFAULT false)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job    public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
    v_run_at timestamptz;
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    ELSIF p_delay IS NULL OR (v_job.attempts >= coalesce(v_job.max_attempts, 3) AND NOT p_refund) THEN
        PERFORM scopekit.dead_letter_job(v_job, p_error, p_code);
        RETURN 'failed';
    END IF;
    v_job.last_error := p_error;
    v_job.error_code := p_code;
    v_run_at := scopekit.requeue_job(v_job, v_job.attempts - p_refund::integer, p_delay);
    PERFORM scopekit.append_event(v_job, 'job.retrying', jsonb_build_object(
        'error', p_error, 'attempt', v_job.attempts, 'run_at', scopekit.iso(v_run_at)));
    RETURN 'queued';
END $$;

-- Hand a job back unharmed, as at shutdown. Returns as fail_job does.
CREATE FUNCTION scopekit.release_job(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    END IF;
    PERFORM scopekit.requeue_job(v_job, v_job.attempts - 1, interval '0');
    PERFORM scopekit.append_event(v_job, 'job.released');
    RETURN 'queued';
END $$;

-- The worker has stopped because of a cancel. Returns as fail_job does.
CREATE FUNCTION scopekit.finish_cancelled(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM scopekit.cancel_locked_job(v_job);
    RETURN 'cancelled';
END $$;

-- A tenant's move, as the user, who may not write jobs -------------------------------------------------------------

-- Cancel at once when queued; else notify the worker, which stops within half a second. Final jobs stay as they are.
-- Returns the state the job is in now; null when it is not this tenant's or not there.
CREATE FUNCTION scopekit.cancel_job(p_job_id uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs WHERE id = p_job_id AND tenant_id = public.current_tenant_id('member')
    FOR UPDATE;
    IF v_job.status = 'queued' THEN
        PERFORM scopekit.cancel_locked_job(v_job);
        RETURN 'cancelled';
    ELSIF v_job.status = 'running' THEN
        UPDATE public.jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()) WHERE id = p_job_id;
        PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'cancel', 'job_id', p_job_id)::text);
    END IF;
    RETURN v_job.status;
END $$;

-- Ways out of running or queued; the caller has locked the rows -------------------------------------------------------
-- What leaves the queue leaves it in sets: a sweep frees the hundred leases of a dead host in a few statements.

-- Back into the queue, due after p_delay. Returns when.
CREATE FUNCTION scopekit.requeue_job(p_job public.jobs, p_attempts integer, p_delay interval)
    RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_run_at timestamptz := now() + p_delay;
BEGIN
    UPDATE public.jobs
    SET status = 'queued', attempts = greatest(p_attempts, 0), run_at = v_run_at, last_error = p_job.last_error,
        error_code = p_job.error_code, lost_leases = p_job.lost_leases, lease_token = NULL, lease_expires_at = NULL,
        turn = CASE WHEN p_delay <= interval '0' THEN scopekit.current_turn(p_job.lane, p_job.priority) END
    WHERE id = p_job.id;
    RETURN v_run_at;
END $$;

-- Cancelled: its checkpoints go, and what they cost is kept.
CREATE FUNCTION scopekit.cancel_locked_jobs(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_ids CONSTANT uuid[] := ARRAY(SELECT id FROM unnest(p_jobs));
BEGIN
    UPDATE public.jobs
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
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs) WHERE ends_stream;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.cancelled', scopekit.correlation(j), NOT j.ends_stream
    FROM unnest(p_jobs) AS j WHERE j.speaks ORDER BY j.visit_id;
END $$;

-- One job is a set of one.
CREATE FUNCTION scopekit.cancel_locked_job(p_job public.jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.cancel_locked_jobs(ARRAY[p_job]);
END $$;

-- The workers are gone: each job waits its backoff, with the attempt spent and the loss counted.
CREATE FUNCTION scopekit.requeue_lost(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.released', scopekit.correlation(j), NOT j.ends_stream
    FROM unnest(p_jobs) AS j WHERE j.speaks ORDER BY j.visit_id;
END $$;

-- Sweeping ------------------------------------------------------------------------------------------------------------

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
CREATE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_found     CONSTANT public.jobs[] := ARRAY(
        SELECT j FROM public.jobs AS j WHERE status = 'running' AND lease_expires_at < now()
          AND (started_at >= pg_postmaster_start_time() OR scopekit.is_steady())
        ORDER BY lease_expires_at LIMIT 10 * p_limit FOR UPDATE SKIP LOCKED);
    v_elsewhere CONSTANT uuid[] := scopekit.held_elsewhere(
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE speaks),
        ARRAY(SELECT visit_id FROM unnest(v_found) WHERE visit_id IS NOT NULL));  -- a dead letter's key needs it too
    v_expired   CONSTANT public.jobs[] := ARRAY(
        SELECT f FROM unnest(v_found) AS f WHERE f.visit_id IS NULL OR f.visit_id <> ALL (v_elsewhere) LIMIT p_limit);
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

-- Delete finished jobs that are older than their kind keeps them, AI work older than p_keep, and checkpoints that no job
-- is left to read. Returns how many rows went, at most about p_limit of each kind.
CREATE FUNCTION scopekit.prune(p_keep interval, p_limit integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_jobs  integer := 0;
    v_some  integer;
    v_steps integer;
    v_lane  record;
BEGIN
    FOR v_lane IN SELECT 'ai' AS name, p_keep AS keep UNION ALL
                  SELECT lane, max(retention) FROM public.job_kinds WHERE lane <> 'ai' GROUP BY lane LOOP
        DELETE FROM public.jobs WHERE id IN (
            SELECT id FROM public.jobs
            WHERE lane = v_lane.name AND status IN ('completed', 'cancelled') AND finished_at < now() - v_lane.keep
            LIMIT p_limit FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS v_some = ROW_COUNT;
        v_jobs := v_jobs + v_some;
    END LOOP;
    DELETE FROM public.job_steps AS s WHERE s.created_at < now() - p_keep
        AND NOT EXISTS (SELECT FROM public.jobs AS j WHERE j.id = s.job_id)
        AND NOT EXISTS (SELECT FROM public.jobs_dlq AS d
                        WHERE d.original_job_id = s.job_id AND d.retried_at IS NULL);
    GET DIAGNOSTICS v_steps = ROW_COUNT;
    RETURN v_jobs + v_steps;
END $$;
