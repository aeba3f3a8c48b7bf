-- The queue's tables, and how jobs get in. One table holds the jobs of all kinds; the runbook's ai_jobs and ai_jobs_dlq
-- are views of those whose lane is `ai`.
--
-- Lifecycle: queued -> running -> completed | failed | cancelled; a retry is queued with a later run_at. Each move is one
-- function and one transaction, here and in queue_claims.sql, queue_moves.sql and dead_letters.sql.
--
-- Invariants
--   1. A job is in exactly one place: a row of jobs, or (dead-lettered) a waiting row of jobs_dlq.
--   2. A running job has one lease token, given by the claim that started it. Every write of a worker names the
--      token and locks the job's row first; when the token is no longer there it changes nothing and says so.
--   3. A job is claimed by one worker at a time (SKIP LOCKED), never before run_at, never while its type is paused.
--   4. attempts counts claims; a hand-back or a snooze refunds its own. A failure at attempts >= max_attempts
--      (null: 3) dead-letters, and so does the third lost lease.
--   5. A move and its event commit together; a result, its final event, its analytics and the work's own rows too.
--   6. After a cancel was accepted a job never completes. Final states never change; a redrive starts a dead job anew.
--   7. Only the database's clock counts.
--   8. Locks are taken in one order: job rows, then by visit id the visit and its stream. Sets of jobs are taken with
--      SKIP LOCKED, and so are their visits and streams: what one transaction elsewhere holds keeps no other job waiting.
--   9. A job is claimed in its lane, of which each has slots of its own: no lane's jobs wait behind another's. A tenant's
--      user sees and queues jobs of the lane `ai` alone.
--  10. What a job may do is written into its row as it is queued; what becomes of its kind later changes no queued job.

-- The kinds of jobs, as the newest worker knows them (`jobs/kinds/registry.py`), and below those that the schema's own
-- triggers queue. A job whose kind is not here is taken for one of a visit that speaks on its stream and does not end it.
CREATE TABLE public.job_kinds (
    name         text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    subject      text NOT NULL CHECK (subject IN ('visit', 'tenant', 'none')),
    lane         text NOT NULL,  -- `ai`, which people wait for, or one of its own
    speaks       boolean NOT NULL,  -- whether it tells its visit's stream
    ends_stream  boolean NOT NULL,  -- whether the visit's stream is about it, and ends with it
    -- Of what there is one active job at a time; null: any number. A key is the job's own unique_key.
    unique_by    text CHECK (unique_by IN ('visit', 'tenant', 'kind', 'key')),
    max_attempts integer CHECK (max_attempts BETWEEN 1 AND 25),  -- null means 3
    retention    interval NOT NULL,  -- of finished jobs
    CONSTRAINT people_wait_for_somebodys CHECK (lane <> 'ai' OR subject <> 'none'),
    CONSTRAINT speaks_of_a_visit CHECK (NOT speaks OR subject = 'visit'),
    CONSTRAINT ends_what_it_speaks_on CHECK (NOT ends_stream OR speaks)
);
INSERT INTO public.job_kinds (name, subject, lane, speaks, ends_stream, unique_by, max_attempts, retention) VALUES
    ('estimate', 'visit', 'ai', true, true, 'visit', NULL, '30 days'),
    ('analytics_delivery', 'none', 'analytics_delivery', false, false, NULL, 25, '1 h'),
    ('photo_jpegs', 'visit', 'photo_jpegs', false, false, NULL, NULL, '1 h'),
    ('mail', 'none', 'mail', false, false, NULL, 25, '1 day'),
    ('webhook', 'tenant', 'webhook', false, false, 'key', 25, '1 h');

-- The jobs. A queued job has a turn when it stands in line; without one its time has not come yet (a retry that waits, a
-- job for later), so that no claim steps over it. When it is due it joins the line like a new one.
-- Every job leaves two dead versions behind, and the default of 20 % would let them pile up to a fifth of all jobs ever.
CREATE TABLE public.jobs (
    id                  uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id           uuid,
    visit_id            uuid,
    job_type            text NOT NULL,
    status              text NOT NULL DEFAULT 'queued'
                        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    priority            smallint NOT NULL DEFAULT 0,
    attempts            integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts        integer CHECK (max_attempts BETWEEN 1 AND 25),  -- null means 3
    lost_leases         integer NOT NULL DEFAULT 0 CHECK (lost_leases >= 0),
    payload             jsonb NOT NULL DEFAULT '{}',
    result              jsonb,
    last_error          text,
    error_code          text,
    idempotency_key     text CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    correlation_id      text,
    trace_context       text CHECK (trace_context ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),  -- W3C
    run_at              timestamptz NOT NULL DEFAULT now(),
    turn                bigint,
    lease_token         uuid,
    lease_expires_at    timestamptz,
    worker              text,
    cancel_requested_at timestamptz,
    created_by          uuid,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    -- Of its kind, by set_kind.
    lane                text NOT NULL,
    speaks              boolean NOT NULL,
    ends_stream         boolean NOT NULL,
    unique_key          text,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT visit_has_a_tenant CHECK (visit_id IS NULL OR tenant_id IS NOT NULL),
    CONSTRAINT leased_iff_running CHECK (
        (status = 'running') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT finished_iff_final CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT result_iff_completed CHECK ((status = 'completed') = (result IS NOT NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX jobs_one_active ON public.jobs (job_type, unique_key) WHERE status IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_idempotency ON public.jobs (tenant_id, job_type, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_of_visit ON public.jobs (visit_id, created_at DESC);
CREATE INDEX jobs_finished ON public.jobs (lane, finished_at DESC) WHERE status IN ('completed', 'cancelled');
-- By an expression, so that no planner takes this index for the question of jobs_turns and steps over all tenants.
CREATE INDEX jobs_in_line ON public.jobs (lane, (-priority::integer), turn, id)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX jobs_turns ON public.jobs (lane, tenant_id, priority, turn)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX jobs_later ON public.jobs (lane, run_at) WHERE status = 'queued' AND turn IS NULL;
-- Not by expiry: few jobs run at a time, and a renewal then touches no index (a HOT update).
CREATE INDEX jobs_running ON public.jobs (tenant_id) WHERE status = 'running';

-- Dead letters: jobs that failed for good, until an operator retries or discards them.
CREATE TABLE public.jobs_dlq (
    id              uuid PRIMARY KEY DEFAULT uuidv7(),
    original_job_id uuid NOT NULL,
    tenant_id       uuid,
    visit_id        uuid,
    job_type        text NOT NULL,
    last_error      text,
    error_code      text,
    attempts        integer NOT NULL,
    payload         jsonb NOT NULL DEFAULT '{}',
    job             jsonb NOT NULL DEFAULT '{}',  -- the whole row as it stood, so that a redrive loses nothing
    moved_at        timestamptz NOT NULL DEFAULT now(),
    retried_at      timestamptz,
    -- A discarded letter counts as dealt with (retried_at) everywhere; to its tenant the job stays failed.
    discarded_at    timestamptz,
    lane            text NOT NULL DEFAULT 'ai',
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT discarded_is_dealt_with CHECK (discarded_at IS NULL OR retried_at IS NOT NULL)
);
-- A redriven job keeps its id and may die again: at most one waiting row each.
CREATE UNIQUE INDEX jobs_dlq_waiting ON public.jobs_dlq (original_job_id) WHERE retried_at IS NULL;
CREATE INDEX jobs_dlq_of_visit ON public.jobs_dlq (visit_id);
CREATE INDEX jobs_dlq_newest ON public.jobs_dlq (moved_at DESC);
CREATE INDEX jobs_dlq_idempotency ON public.jobs_dlq (tenant_id, job_type, (job ->> 'idempotency_key'));
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.jobs_dlq
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- The AI work, under the runbook's names: its statements read and write these as if they were tables.
CREATE VIEW public.ai_jobs WITH (security_invoker = true) AS SELECT * FROM public.jobs WHERE lane = 'ai';

-- The same of its dead letters.
CREATE VIEW public.ai_jobs_dlq WITH (security_invoker = true) AS SELECT * FROM public.jobs_dlq WHERE lane = 'ai';

-- Checkpoints: what a rescued job does not do again. No key to jobs, whose row moves to the DLQ and back.
CREATE TABLE public.job_steps (
    job_id     uuid NOT NULL,
    step       text NOT NULL,
    item       text NOT NULL DEFAULT '',
    tenant_id  uuid REFERENCES public.tenants,
    visit_id   uuid,
    value      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, step, item),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX job_steps_of_visit ON public.job_steps (visit_id);
CREATE INDEX job_steps_of_tenant ON public.job_steps (tenant_id, created_at);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.job_steps
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- What a cancelled job had paid for: its checkpoints go and it leaves no estimate, yet the money is spent. A tenant's
-- month counts it.
CREATE TABLE public.cancelled_spending (
    job_id    uuid NOT NULL,
    step      text NOT NULL,
    item      text NOT NULL,
    tenant_id uuid NOT NULL,  -- no key: the sweep writes here, and would wait for whoever holds the tenant
    cost      numeric(12, 6) NOT NULL CHECK (cost >= 0),
    spent_at  timestamptz NOT NULL,
    PRIMARY KEY (job_id, step, item)
);
CREATE INDEX cancelled_spending_of_tenant ON public.cancelled_spending (tenant_id, spent_at);

-- Switches of the queue, one row a name: a job type, `all`, or an engine's breaker (`engine:openai`). A pause may end by
-- itself at `until`.
--
-- A breaker is open while its row is paused and `until` lies ahead: then no job is claimed that names the engine. When
-- `until` has passed it is half open: claims go on with one job at a time, the probe. A probe that completes closes it
-- (the row goes); one that fails in the same way opens it again for longer.
CREATE TABLE public.queue_control (
    name        text PRIMARY KEY,
    paused      boolean NOT NULL DEFAULT false,
    reason      text NOT NULL DEFAULT '',
    until       timestamptz,
    opened      integer NOT NULL DEFAULT 0 CHECK (opened >= 0),
    -- A pause for good that is put over one with an end (a rollback's over an operator's) gives it back when it is over.
    held_reason text,
    held_until  timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT held_pause_has_an_end CHECK ((held_reason IS NULL) = (held_until IS NULL))
);

-- When the last tick of each periodic kind was queued.
CREATE TABLE public.periodic_tasks (
    name    text PRIMARY KEY,
    done_at timestamptz NOT NULL
);

-- Workers whose leases hang on a database session: it has an advisory lock for as long as it lives. A row is there from a
-- worker's first session until its leases are freed; `missing_since` and `looked_at` are of looks that found no session.
CREATE TABLE public.worker_sessions (
    worker        text PRIMARY KEY,
    missing_since timestamptz,
    looked_at     timestamptz
);

-- Getting in ----------------------------------------------------------------------------------------------------------

-- Write into a new job what its kind says.
CREATE FUNCTION scopekit.set_kind() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_kind public.job_kinds;
BEGIN
    SELECT * INTO v_kind FROM public.job_kinds WHERE name = NEW.job_type;
    IF NOT FOUND THEN
        v_kind.subject := 'visit';
        v_kind.unique_by := 'visit';
    END IF;
    IF NEW.visit_id IS NULL AND v_kind.subject = 'visit' OR NEW.tenant_id IS NULL AND v_kind.subject = 'tenant' THEN
        RAISE EXCEPTION 'a job of kind % is of a %', NEW.job_type, v_kind.subject USING ERRCODE = 'not_null_violation';
    END IF;
    NEW.lane := coalesce(v_kind.lane, 'ai');
    NEW.speaks := coalesce(v_kind.speaks, true);
    NEW.ends_stream := coalesce(v_kind.ends_stream, false);
    NEW.max_attempts := coalesce(NEW.max_attempts, v_kind.max_attempts);
    NEW.unique_key := CASE v_kind.unique_by WHEN 'visit' THEN NEW.visit_id::text WHEN 'tenant' THEN NEW.tenant_id::text
                           WHEN 'kind' THEN '' WHEN 'key' THEN NEW.unique_key END;
    RETURN NEW;
END $$;

-- The runbook retries a dead letter by an INSERT of its visit, type and payload, which names no tenant and is no user's:
-- the letter is marked as retried.
CREATE FUNCTION scopekit.mark_retried() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.jobs_dlq SET retried_at = now()
    WHERE retried_at IS NULL AND visit_id = NEW.visit_id AND job_type = NEW.job_type AND payload = NEW.payload
      AND current_setting('role') <> 'authenticated';
    RETURN NEW;
END $$;

-- Whoever enqueues, with whatever INSERT, one job or ten thousand: the visits' subscribers and the workers are notified.
-- It writes what its caller, who may only queue jobs, must not. Workers are told the lane, so that only its slots look.
CREATE FUNCTION scopekit.notify_enqueued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND ends_stream;
    PERFORM scopekit.bulk_append_events(
        'job.queued', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(CASE WHEN turn IS NULL
                  THEN jsonb_build_object('correlation_id', coalesce(correlation_id, id::text), 'run_at', run_at)
                  ELSE jsonb_build_object('correlation_id', coalesce(correlation_id, id::text)) END),
        p_background => array_agg(NOT ends_stream))
    FROM (SELECT * FROM enqueued WHERE status = 'queued' AND speaks ORDER BY visit_id) AS job HAVING count(*) > 0;
    PERFORM pg_notify('scopekit_queue', lane) FROM enqueued WHERE turn IS NOT NULL GROUP BY lane;
    RETURN NULL;
END $$;

-- Triggers fire in the order of their names: dead_letter_retried, fill_tenant, set_kind, set_turn. The first two are called
-- only where the tenant is missing: 3 us.
CREATE TRIGGER dead_letter_retried BEFORE INSERT ON public.jobs FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.mark_retried();
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.jobs FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();
CREATE TRIGGER set_kind BEFORE INSERT ON public.jobs FOR EACH ROW EXECUTE FUNCTION scopekit.set_kind();
CREATE TRIGGER notify_enqueued AFTER INSERT ON public.jobs REFERENCING NEW TABLE AS enqueued
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.notify_enqueued();
CREATE TRIGGER recheck_flag BEFORE UPDATE OF status ON public.jobs FOR EACH ROW
    WHEN (OLD.status = 'running' AND NEW.status = 'queued' AND NEW.error_code = 'turned_off')
    EXECUTE FUNCTION scopekit.recheck_flag();

-- Small helpers -------------------------------------------------------------------------------------------------------

-- A moment as events carry it.
CREATE FUNCTION scopekit.iso(p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- A job whose request sent no id goes by its own.
CREATE FUNCTION scopekit.correlation(p_job public.jobs) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object('correlation_id', coalesce(p_job.correlation_id, p_job.id::text)) $$;

-- The id under which everything about a job is found, wherever its row is; each reader sees what RLS lets it see.
CREATE FUNCTION scopekit.job_correlation(p_job_id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT correlation_id FROM public.jobs WHERE id = p_job_id),
                    (SELECT job ->> 'correlation_id' FROM public.jobs_dlq
         WHERE original_job_id = p_job_id
                     ORDER BY moved_at DESC LIMIT 1),
                    p_job_id::text)
$$;

-- Append one event of a job that speaks, with its correlation id.
CREATE FUNCTION scopekit.append_event(p_job public.jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload || scopekit.correlation(p_job),
           NOT p_job.ends_stream
    WHERE p_job.speaks;
END $$;

-- Whether a job runs beside the one that its visit's stream is about. Neither an estimate does, nor a job that the queue
-- does not know.
CREATE FUNCTION scopekit.is_background(p_job_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT NOT ends_stream FROM public.jobs WHERE id = p_job_id),
        (SELECT NOT coalesce((job ->> 'ends_stream')::boolean, job_type = 'estimate') FROM public.jobs_dlq
         WHERE original_job_id = p_job_id
         ORDER BY retried_at DESC NULLS FIRST LIMIT 1),
        false)
$$;

-- min(2^(attempt - 1), 16) s, times 0.7 to 1.3: as `jobs/queue/retry.py` has it; a test holds the two together.
CREATE FUNCTION scopekit.backoff(p_attempt integer, p_random double precision) RETURNS interval
    LANGUAGE sql IMMUTABLE AS
    $$ SELECT make_interval(secs => power(2, least(p_attempt, 5) - 1) * (0.7 + 0.6 * p_random)) $$;

-- What callers see ----------------------------------------------------------------------------------------------------

-- 1 for the next in line; counts to 1000. Null when it is not in line, or is not this tenant's.
CREATE FUNCTION scopekit.queue_position(p_job_id uuid) RETURNS integer LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs
    WHERE id = p_job_id AND tenant_id = public.current_tenant_id() AND status = 'queued' AND turn IS NOT NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN 1 + (SELECT count(*) FROM (
        SELECT 1 FROM public.jobs
        WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now() AND id <> p_job_id AND lane = v_job.lane
          AND (-priority::integer, turn, id) < (-v_job.priority::integer, v_job.turn, v_job.id)
        ORDER BY -priority::integer, turn, id LIMIT 999) AS ahead);
END $$;

-- How these jobs have ended so far: for the trigger route, which watches jobs of every tenant.
CREATE FUNCTION scopekit.job_outcomes(p_ids uuid[])
    RETURNS TABLE (job_id uuid, visit_id uuid, status text, result jsonb, error text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id, visit_id, status, result, last_error FROM public.jobs WHERE id = ANY (p_ids)
    UNION ALL
    SELECT original_job_id, visit_id, 'failed', NULL, last_error FROM public.jobs_dlq
    WHERE original_job_id = ANY (p_ids) AND retried_at IS NULL
$$;

-- What is paused now.
CREATE FUNCTION scopekit.paused_types() RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(name), '{}') FROM public.queue_control
    WHERE paused AND (until IS NULL OR until > now())
$$;

-- The next in line, and behind them those that have come due since the last claim.
CREATE FUNCTION scopekit.due_jobs(p_limit integer) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT next.id FROM (
        (SELECT id, 0 AS later, row_number() OVER (ORDER BY -priority::integer, turn, id) AS place FROM public.jobs
         WHERE lane = 'ai' AND status = 'queued' AND turn IS NOT NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY -priority::integer, turn, id LIMIT p_limit)
        UNION ALL
        (SELECT id, 1, row_number() OVER (ORDER BY run_at) FROM public.jobs
         WHERE lane = 'ai' AND status = 'queued' AND turn IS NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY run_at LIMIT p_limit)
    ) AS next ORDER BY next.later, next.place LIMIT p_limit
$$;

-- Pauses and breakers -------------------------------------------------------------------------------------------------

-- Pause a name, until a time or for good.
CREATE FUNCTION scopekit.pause_queue(p_name text, p_reason text DEFAULT '', p_until timestamptz DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until) VALUES (p_name, true, p_reason, p_until)
    ON CONFLICT (name) DO UPDATE SET paused = true, reason = excluded.reason, until = excluded.until, updated_at = now();
END $$;

-- Resuming what is not paused changes nothing; workers are notified, so that they do not wait for their next look.
CREATE FUNCTION scopekit.resume_queue(p_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_found boolean;
BEGIN
    DELETE FROM public.queue_control WHERE name = p_name;
    v_found := FOUND;
    PERFORM pg_notify('scopekit_queue', '');
    RETURN v_found;
END $$;

-- Everything that is or was paused and not resumed: open, half_open (a breaker whose time is over) or over.
CREATE FUNCTION scopekit.queue_switches()
    RETURNS TABLE (name text, state text, reason text, until timestamptz) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.name,
           CASE WHEN c.until IS NULL OR c.until > now() THEN CASE WHEN c.name LIKE 'engine:%' THEN 'open' ELSE 'paused' END
                WHEN c.name LIKE 'engine:%' THEN 'half_open' ELSE 'over' END,
           c.reason, c.until
    FROM public.queue_control AS c WHERE c.paused ORDER BY c.name
$$;

-- Open an engine's breaker: for p_base, and twice as long each time it opens again before a probe has succeeded, up to an
-- hour. While it is open already (several jobs failed at once) nothing changes. Returns when it may be tried again.
CREATE FUNCTION scopekit.open_breaker(p_engine text, p_reason text, p_base interval) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    INSERT INTO public.queue_control AS c (name, paused, reason, until, opened)
    VALUES ('engine:' || p_engine, true, p_reason, now() + p_base, 1)
    ON CONFLICT (name) DO UPDATE
        SET until = now() + least(p_base * power(2, least(c.opened, 10)), greatest(p_base, interval '1 h')),
            opened = c.opened + 1, paused = true, reason = excluded.reason, updated_at = now()
        WHERE c.until <= now() OR NOT c.paused;
    SELECT until INTO v_until FROM public.queue_control WHERE name = 'engine:' || p_engine;
    RETURN v_until;
END $$;

-- The probe has completed: the trouble is over. A job that completes while the breaker is open proves nothing, as it may
-- have asked the engine before.
CREATE FUNCTION scopekit.close_breaker(p_engine text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM public.queue_control WHERE name = 'engine:' || p_engine AND until <= now())
           AND scopekit.resume_queue('engine:' || p_engine);
END $$;

-- Queue one job of each of these periodic kinds, [{name, every, since}, ...], whose tick has come since the last one was
-- queued. A tick is a whole multiple of `every` from `since` on, by the database's clock: any number of workers queue it
-- once, and however many have passed with none there, one job catches them up. Returns how many jobs.
CREATE FUNCTION scopekit.queue_ticks(p_kinds jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_kind  record;
    v_count integer := 0;
BEGIN
    FOR v_kind IN SELECT * FROM jsonb_to_recordset(p_kinds) AS k(name text, every interval, since timestamptz)
                  ORDER BY name LOOP
        INSERT INTO public.periodic_tasks AS t (name, done_at) VALUES (v_kind.name, now())
        ON CONFLICT (name) DO UPDATE SET done_at = now()
        WHERE t.done_at < date_bin(v_kind.every, now(), v_kind.since);
        IF FOUND THEN
            INSERT INTO public.jobs (job_type) VALUES (v_kind.name) ON CONFLICT DO NOTHING;
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END $$;

-- Kinds ---------------------------------------------------------------------------------------------------------------

-- Write down the kinds that a worker knows, [{name, subject, lane, ...}, ...]; those it does not know stay. Nothing is
-- written where nothing has changed.
CREATE FUNCTION scopekit.register_kinds(p_kinds jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.job_kinds AS k
    SELECT * FROM jsonb_populate_recordset(NULL::public.job_kinds, p_kinds) AS new ORDER BY new.name
    ON CONFLICT (name) DO UPDATE
        SET subject = excluded.subject, lane = excluded.lane, speaks = excluded.speaks,
            ends_stream = excluded.ends_stream, unique_by = excluded.unique_by, max_attempts = excluded.max_attempts,
            retention = excluded.retention
        WHERE k IS DISTINCT FROM excluded
$$;
