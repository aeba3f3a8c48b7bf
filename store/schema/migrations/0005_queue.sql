-- The queue's moves, each one function and one transaction. `jobs/queue/states.py` draws the same machine.
--
-- Invariants
--   1. A job is in exactly one place: a row of ai_jobs, or (dead-lettered) a waiting row of ai_jobs_dlq.
--   2. A running job has one lease token, given by the claim that started it. Every write of a worker names the
--      token and locks the job's row first; when the token is no longer there it changes nothing and says so.
--   3. A job is claimed by one worker at a time (SKIP LOCKED), never before run_at, never while its type is paused.
--   4. attempts counts claims; a hand-back or a snooze refunds its own. A failure at attempts >= max_attempts
--      (null: 3) dead-letters, and so does the third lost lease.
--   5. A move and its event commit together; a result, its final event, its analytics and the work's own rows too.
--   6. After a cancel was accepted a job never completes. Final states never change; a redrive starts a dead job anew.
--   7. Only the database's clock counts.
--   8. Locks are taken in one order: job rows, then by visit id the visit and its stream. Sets of jobs are taken with SKIP LOCKED.

-- Turns --------------------------------------------------------------------------------------------------------------

-- Fairness between tenants, start-time fair queueing without state: a job's turn is one after its tenant's last
-- waiting job, but never before the turn now being served. Ten thousand jobs of one tenant stand one behind the
-- other; the first job of any other stands beside the front.
ALTER TABLE public.ai_jobs ADD COLUMN turn bigint NOT NULL DEFAULT 0;

DROP INDEX public.ai_jobs_claimable;
CREATE INDEX ai_jobs_claimable ON public.ai_jobs (priority DESC, turn, id) WHERE status = 'queued';
CREATE INDEX ai_jobs_turns ON public.ai_jobs (tenant_id, priority, turn) WHERE status = 'queued';
CREATE INDEX ai_jobs_dlq_idempotency ON public.ai_jobs_dlq (tenant_id, (job ->> 'idempotency_key'));

CREATE FUNCTION scopekit.take_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    NEW.turn := greatest(
        (SELECT turn FROM public.ai_jobs WHERE status = 'queued' AND priority = NEW.priority ORDER BY turn LIMIT 1),
        (SELECT turn + 1 FROM public.ai_jobs
         WHERE status = 'queued' AND tenant_id = NEW.tenant_id AND priority = NEW.priority
         ORDER BY turn DESC LIMIT 1),
        0);
    RETURN NEW;
END $$;
-- After fill_tenant: triggers fire in the order of their names.
CREATE TRIGGER take_turn BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN (NEW.status = 'queued')
    EXECUTE FUNCTION scopekit.take_turn();

-- A visit says how far its estimate is.
CREATE FUNCTION scopekit.move_visit(p_job public.ai_jobs, p_status text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.site_visits SET status = p_status, updated_at = now()
    WHERE id = p_job.visit_id AND p_job.job_type = 'estimate';
END $$;

-- Whoever enqueues, with whatever INSERT: the visit's subscribers hear of it.
CREATE FUNCTION scopekit.tell_enqueued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.move_visit(NEW, 'finalizing');
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    VALUES (NEW.visit_id, NEW.tenant_id, NEW.id, 'job.queued');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_enqueued AFTER INSERT ON public.ai_jobs FOR EACH ROW WHEN (NEW.status = 'queued')
    EXECUTE FUNCTION scopekit.tell_enqueued();

-- Small words --------------------------------------------------------------------------------------------------------

CREATE FUNCTION scopekit.iso(p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- min(2^(attempt - 1), 16) s, times 0.7 to 1.3: as `jobs/queue/retry.py` has it; a test holds the two together.
CREATE FUNCTION scopekit.backoff(p_attempt integer, p_random double precision) RETURNS interval
    LANGUAGE sql IMMUTABLE AS
    $$ SELECT make_interval(secs => power(2, least(p_attempt, 5) - 1) * (0.7 + 0.6 * p_random)) $$;

CREATE FUNCTION scopekit.paused_types() RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(name), '{}') FROM public.queue_control
    WHERE paused AND (until IS NULL OR until > now())
$$;

CREATE FUNCTION scopekit.tell(p_job public.ai_jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    VALUES (p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload);
END $$;

-- Lock a job for its worker; null when the lease is lost.
CREATE FUNCTION scopekit.held_job(p_job_id uuid, p_token uuid) RETURNS public.ai_jobs LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs WHERE id = p_job_id AND lease_token = p_token FOR UPDATE;
    RETURN v_job;
END $$;

-- The three ways out of running or queued; the caller has locked the row ----------------------------------------------

CREATE FUNCTION scopekit.to_queue(p_job public.ai_jobs, p_attempts integer, p_delay interval) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    v_run_at timestamptz := now() + p_delay;
BEGIN
    UPDATE public.ai_jobs
    SET status = 'queued', attempts = greatest(p_attempts, 0), run_at = v_run_at, last_error = p_job.last_error,
        error_code = p_job.error_code, lost_leases = p_job.lost_leases, lease_token = NULL, lease_expires_at = NULL
    WHERE id = p_job.id;
    RETURN v_run_at;
END $$;

CREATE FUNCTION scopekit.to_cancelled(p_job public.ai_jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs
    SET status = 'cancelled', finished_at = now(), cancel_requested_at = coalesce(cancel_requested_at, now()),
        lease_token = NULL, lease_expires_at = NULL
    WHERE id = p_job.id;
    DELETE FROM public.job_steps WHERE job_id = p_job.id;
    PERFORM scopekit.move_visit(p_job, 'in_progress');
    PERFORM scopekit.tell(p_job, 'job.cancelled');
END $$;

CREATE FUNCTION scopekit.to_dead_letters(p_job public.ai_jobs, p_error text, p_code text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_error text := coalesce(p_error, p_job.last_error, 'unknown error');
    v_code  text := coalesce(p_code, p_job.error_code, 'attempts_exhausted');
BEGIN
    p_job.status := 'failed';
    p_job.last_error := v_error;
    p_job.error_code := v_code;
    p_job.finished_at := now();
    p_job.lease_token := NULL;
    p_job.lease_expires_at := NULL;
    INSERT INTO public.ai_jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts, payload, job)
    VALUES (p_job.id, p_job.tenant_id, p_job.visit_id, p_job.job_type, v_error, v_code, p_job.attempts, p_job.payload,
            to_jsonb(p_job))
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.ai_jobs WHERE id = p_job.id;
    PERFORM scopekit.move_visit(p_job, 'failed');
    PERFORM scopekit.tell(p_job, 'job.failed', jsonb_build_object('error', v_error, 'code', v_code));
END $$;

-- A worker's moves ---------------------------------------------------------------------------------------------------

-- Start up to p_limit due jobs: priority, then turn (fairness between tenants), then age.
CREATE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                     p_lease interval DEFAULT interval '60 s')
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql AS $$
DECLARE
    v_paused text[] := scopekit.paused_types();
    v_ids    uuid[];
BEGIN
    SELECT array_agg(due.id) INTO v_ids FROM (
        SELECT id FROM public.ai_jobs
        WHERE status = 'queued' AND run_at <= now() AND job_type <> ALL (v_paused)
        ORDER BY priority DESC, turn, id
        LIMIT greatest(p_limit, 0)
        FOR UPDATE SKIP LOCKED) AS due;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    UPDATE public.ai_jobs
    SET status = 'running', attempts = attempts + 1, lease_token = gen_random_uuid(),
        lease_expires_at = now() + p_lease, worker = p_worker, started_at = now()
    WHERE id = ANY (v_ids);
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT visit_id, tenant_id, id, 'job.started', jsonb_build_object('attempt', attempts, 'worker', worker)
    FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY visit_id;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Extend all leases of one process and tell which it still holds. A row that another session is writing at this
-- moment is held but extended only the next time: one slow commit must not hold up the others.
CREATE FUNCTION scopekit.renew_leases(p_jobs uuid[], p_tokens uuid[], p_lease interval)
    RETURNS TABLE (job_id uuid, cancel_requested boolean) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs AS j SET lease_expires_at = now() + p_lease
    FROM (SELECT locked.id FROM public.ai_jobs AS locked
          JOIN unnest(p_jobs, p_tokens) AS mine(id, token) ON locked.id = mine.id AND locked.lease_token = mine.token
          FOR UPDATE OF locked SKIP LOCKED) AS held
    WHERE j.id = held.id;
    RETURN QUERY SELECT j.id, j.cancel_requested_at IS NOT NULL FROM public.ai_jobs AS j
    JOIN unnest(p_jobs, p_tokens) AS mine(id, token) ON j.id = mine.id AND j.lease_token = mine.token;
END $$;

-- Append events [{type, payload}, ...] in order; false when the lease is lost. `p_relaxed` may lose the last few to
-- a power cut and spares each of them a disk write: for progress only.
CREATE FUNCTION scopekit.append_events(p_job_id uuid, p_token uuid, p_events jsonb, p_relaxed boolean DEFAULT false)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    IF p_relaxed THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT v_job.visit_id, v_job.tenant_id, v_job.id, event.value ->> 'type', event.value -> 'payload'
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS event(value, position) ORDER BY event.position;
    RETURN true;
END $$;

CREATE FUNCTION scopekit.put_checkpoint(p_job_id uuid, p_token uuid, p_step text, p_item text, p_value jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO public.job_steps (job_id, step, item, tenant_id, visit_id, value)
    VALUES (p_job_id, p_step, p_item, v_job.tenant_id, v_job.visit_id, p_value)
    ON CONFLICT (job_id, step, item) DO UPDATE SET value = excluded.value, created_at = now();
    RETURN true;
END $$;

-- First statement of the finishing transaction: 'held', 'cancelled' (somebody asked first) or 'lost'.
CREATE FUNCTION scopekit.begin_completion(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    RETURN CASE WHEN v_job.id IS NULL THEN 'lost' WHEN v_job.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'held' END;
END $$;

-- Last statement of the finishing transaction. `p_analytics` is null or {event, properties}.
CREATE FUNCTION scopekit.complete_job(p_job_id uuid, p_token uuid, p_result jsonb, p_analytics jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL OR v_job.cancel_requested_at IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE public.ai_jobs
    SET status = 'completed', result = p_result, finished_at = clock_timestamp(), last_error = NULL, error_code = NULL,
        lease_token = NULL, lease_expires_at = NULL
    WHERE id = p_job_id;
    DELETE FROM public.job_steps WHERE job_id = p_job_id;
    IF p_analytics IS NOT NULL THEN
        INSERT INTO public.analytics_events (event, properties, tenant_id, user_id)
        VALUES (p_analytics ->> 'event', coalesce(p_analytics -> 'properties', '{}'), v_job.tenant_id, v_job.created_by);
    END IF;
    PERFORM scopekit.move_visit(v_job, 'completed');
    PERFORM scopekit.tell(v_job, 'job.completed', p_result);
    RETURN true;
END $$;

-- The worker could not finish. Without p_delay there is no sense in another try; p_refund gives the attempt back.
-- Returns the state the job is in now: queued, failed or cancelled; null when the lease is lost.
CREATE FUNCTION scopekit.fail_job(p_job_id uuid, p_token uuid, p_error text, p_code text, p_delay interval,
                                  p_refund boolean DEFAULT false)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job    public.ai_jobs := scopekit.held_job(p_job_id, p_token);
    v_run_at timestamptz;
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.to_cancelled(v_job);
        RETURN 'cancelled';
    ELSIF p_delay IS NULL OR (v_job.attempts >= coalesce(v_job.max_attempts, 3) AND NOT p_refund) THEN
        PERFORM scopekit.to_dead_letters(v_job, p_error, p_code);
        RETURN 'failed';
    END IF;
    v_job.last_error := p_error;
    v_job.error_code := p_code;
    v_run_at := scopekit.to_queue(v_job, v_job.attempts - p_refund::integer, p_delay);
    PERFORM scopekit.tell(v_job, 'job.retrying', jsonb_build_object(
        'error', p_error, 'attempt', v_job.attempts, 'run_at', scopekit.iso(v_run_at)));
    RETURN 'queued';
END $$;

-- Hand a job back unharmed, as at shutdown. Returns as fail_job does.
CREATE FUNCTION scopekit.release_job(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    ELSIF v_job.cancel_requested_at IS NOT NULL THEN
        PERFORM scopekit.to_cancelled(v_job);
        RETURN 'cancelled';
    END IF;
    PERFORM scopekit.to_queue(v_job, v_job.attempts - 1, interval '0');
    PERFORM scopekit.tell(v_job, 'job.released');
    RETURN 'queued';
END $$;

-- The worker has stopped because somebody asked. Returns as fail_job does.
CREATE FUNCTION scopekit.finish_cancelled(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.held_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM scopekit.to_cancelled(v_job);
    RETURN 'cancelled';
END $$;

-- Free up to p_limit expired leases, and count what is due and waits for somebody.
CREATE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs;
    v_ids uuid[];
BEGIN
    requeued := 0; dead := 0; cancelled := 0;
    SELECT array_agg(expired.id) INTO v_ids FROM (
        SELECT id FROM public.ai_jobs WHERE status = 'running' AND lease_expires_at < now()
        ORDER BY lease_expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS expired;
    FOR v_job IN SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY visit_id LOOP
        v_job.lost_leases := v_job.lost_leases + 1;
        IF v_job.cancel_requested_at IS NOT NULL THEN
            PERFORM scopekit.to_cancelled(v_job);
            cancelled := cancelled + 1;
        ELSIF v_job.lost_leases >= 3 OR v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
            PERFORM scopekit.to_dead_letters(
                v_job, format('The worker stopped in the middle of this job, %s time(s).', v_job.lost_leases),
                'worker_lost');
            dead := dead + 1;
        ELSE
            PERFORM scopekit.to_queue(v_job, v_job.attempts, scopekit.backoff(v_job.lost_leases, random()));
            PERFORM scopekit.tell(v_job, 'job.released');
            requeued := requeued + 1;
        END IF;
    END LOOP;
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now() LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

-- An operator's moves ------------------------------------------------------------------------------------------------

-- The runbook's function: an unknown id, or one with attempts left, is left alone.
CREATE FUNCTION public.move_to_dlq(p_job_id uuid, p_error text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs
    WHERE id = p_job_id AND status NOT IN ('completed', 'cancelled') FOR UPDATE;
    IF FOUND AND v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
        PERFORM scopekit.to_dead_letters(v_job, p_error, NULL);
    END IF;
END $$;

-- Queue a dead job again under its own id, with everything it had and no attempt spent. A second call finds it done.
-- Returns the job's id; null for an unknown one. unique_violation when the visit has another active job by now.
CREATE FUNCTION scopekit.redrive(p_dlq_id uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_dead public.ai_jobs_dlq;
    v_job  public.ai_jobs;
BEGIN
    SELECT * INTO v_dead FROM public.ai_jobs_dlq WHERE id = p_dlq_id FOR UPDATE;
    IF NOT FOUND OR v_dead.retried_at IS NOT NULL THEN
        RETURN v_dead.original_job_id;
    END IF;
    v_job := jsonb_populate_record(NULL::public.ai_jobs, v_dead.job);
    INSERT INTO public.ai_jobs
        (id, tenant_id, visit_id, job_type, priority, max_attempts, payload, idempotency_key, correlation_id,
         created_by, created_at)
    VALUES (v_dead.original_job_id, v_dead.tenant_id, v_dead.visit_id, v_dead.job_type, coalesce(v_job.priority, 0),
            v_job.max_attempts, v_dead.payload, v_job.idempotency_key, v_job.correlation_id, v_job.created_by,
            coalesce(v_job.created_at, now()));
    UPDATE public.ai_jobs_dlq SET retried_at = now() WHERE id = p_dlq_id;
    RETURN v_dead.original_job_id;
END $$;

-- A tenant's moves: as the user, who may not write ai_jobs --------------------------------------------------------------

-- Cancel at once when queued; else tell the worker, which stops within half a second. Final jobs stay as they are.
-- Returns the state the job is in now; null when it is not this tenant's or not there.
CREATE FUNCTION scopekit.cancel_job(p_job_id uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs WHERE id = p_job_id AND tenant_id = public.current_tenant_id() FOR UPDATE;
    IF v_job.status = 'queued' THEN
        PERFORM scopekit.to_cancelled(v_job);
        RETURN 'cancelled';
    ELSIF v_job.status = 'running' THEN
        UPDATE public.ai_jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()) WHERE id = p_job_id;
        PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'cancel', 'job_id', p_job_id)::text);
    END IF;
    RETURN v_job.status;
END $$;

-- 1 for the next in line; counts to 1000. Null when it does not wait, or is not this tenant's.
CREATE FUNCTION scopekit.queue_position(p_job_id uuid) RETURNS integer LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs
    WHERE id = p_job_id AND tenant_id = public.current_tenant_id() AND status = 'queued';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN 1 + (SELECT count(*) FROM (
        SELECT 1 FROM public.ai_jobs
        WHERE status = 'queued' AND run_at <= now() AND id <> p_job_id
          AND (-priority, turn, id) < (-v_job.priority, v_job.turn, v_job.id)
        ORDER BY priority DESC, turn, id LIMIT 999) AS ahead);
END $$;

-- What a job looks like from outside, wherever its row is; each reader sees what RLS lets him see.
CREATE VIEW scopekit.job_statuses WITH (security_invoker = true) AS
SELECT id, tenant_id, visit_id, job_type, status, attempts, coalesce(max_attempts, 3) AS max_attempts,
       CASE status WHEN 'queued' THEN scopekit.queue_position(id) END AS position,
       run_at, created_at, started_at, finished_at, last_error, error_code, result,
       cancel_requested_at IS NOT NULL AS cancel_requested, idempotency_key,
       extract(epoch FROM run_at - now())::double precision AS due_in_s
FROM public.ai_jobs
UNION ALL
SELECT original_job_id, tenant_id, visit_id, job_type, 'failed', attempts,
       coalesce((job ->> 'max_attempts')::integer, 3), NULL,
       coalesce((job ->> 'run_at')::timestamptz, moved_at), coalesce((job ->> 'created_at')::timestamptz, moved_at),
       (job ->> 'started_at')::timestamptz, moved_at, last_error, error_code, NULL,
       job ->> 'cancel_requested_at' IS NOT NULL, job ->> 'idempotency_key', NULL
FROM public.ai_jobs_dlq WHERE retried_at IS NULL;
REVOKE ALL ON scopekit.job_statuses FROM PUBLIC, anon;
GRANT SELECT ON scopekit.job_statuses TO authenticated, service_role;

-- The gateway's own: the trigger route watches jobs of every tenant ---------------------------------------------------

CREATE FUNCTION scopekit.due_jobs(p_limit integer) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT id FROM public.ai_jobs
    WHERE status = 'queued' AND run_at <= now() AND job_type <> ALL (scopekit.paused_types())
    ORDER BY priority DESC, turn, id LIMIT p_limit
$$;

CREATE FUNCTION scopekit.job_outcomes(p_ids uuid[])
    RETURNS TABLE (job_id uuid, visit_id uuid, status text, result jsonb, error text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT id, visit_id, status, result, last_error FROM public.ai_jobs WHERE id = ANY (p_ids)
    UNION ALL
    SELECT original_job_id, visit_id, 'failed', NULL, last_error FROM public.ai_jobs_dlq
    WHERE original_job_id = ANY (p_ids) AND retried_at IS NULL
$$;

-- Rights -------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.take_turn()',                                                          ''),
            ('scopekit.tell_enqueued()',                                                      ''),
            ('scopekit.move_visit(public.ai_jobs, text)',                       'authenticated, service_role'),
            ('scopekit.iso(timestamptz)',                                                     'service_role'),
            ('scopekit.backoff(integer, double precision)',                                   'service_role'),
            ('scopekit.paused_types()',                                                       'service_role'),
            ('scopekit.tell(public.ai_jobs, text, jsonb)',                                    'service_role'),
            ('scopekit.held_job(uuid, uuid)',                                                 'service_role'),
            ('scopekit.to_queue(public.ai_jobs, integer, interval)',                          'service_role'),
            ('scopekit.to_cancelled(public.ai_jobs)',                                         'service_role'),
            ('scopekit.to_dead_letters(public.ai_jobs, text, text)',                          'service_role'),
            ('public.claim_ai_jobs(integer, text, interval)',                                 'service_role'),
            ('scopekit.renew_leases(uuid[], uuid[], interval)',                               'service_role'),
            ('scopekit.append_events(uuid, uuid, jsonb, boolean)',                            'service_role'),
            ('scopekit.put_checkpoint(uuid, uuid, text, text, jsonb)',                        'service_role'),
            ('scopekit.begin_completion(uuid, uuid)',                                         'service_role'),
            ('scopekit.complete_job(uuid, uuid, jsonb, jsonb)',                               'service_role'),
            ('scopekit.fail_job(uuid, uuid, text, text, interval, boolean)',                  'service_role'),
            ('scopekit.release_job(uuid, uuid)',                                              'service_role'),
            ('scopekit.finish_cancelled(uuid, uuid)',                                         'service_role'),
            ('scopekit.sweep(integer)',                                                       'service_role'),
            ('public.move_to_dlq(uuid, text)',                                                'service_role'),
            ('scopekit.redrive(uuid)',                                                        'service_role'),
            ('scopekit.cancel_job(uuid)',                                                     'authenticated'),
            ('scopekit.queue_position(uuid)',                                    'authenticated, service_role'),
            ('scopekit.due_jobs(integer)',                                                    'scopekit_gateway'),
            ('scopekit.job_outcomes(uuid[])',                                                 'scopekit_gateway')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        IF v_right.roles <> '' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
        END IF;
    END LOOP;
END $$;
-- A user's transaction runs in the role `authenticated`, and calls the functions that check its tenant.
GRANT USAGE ON SCHEMA scopekit TO authenticated;
