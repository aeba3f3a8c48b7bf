-- One table for the jobs of all kinds. The runbook's ai_jobs and ai_jobs_dlq become views of the AI work in it.

ALTER TABLE public.ai_jobs RENAME TO jobs;
ALTER TABLE public.ai_jobs_dlq RENAME TO jobs_dlq;
DO $$
DECLARE
    v_name record;
BEGIN
    FOR v_name IN SELECT conname AS old, conrelid::regclass AS relation FROM pg_constraint
                  WHERE conrelid IN ('public.jobs'::regclass, 'public.jobs_dlq'::regclass) AND conname LIKE 'ai\_jobs%' LOOP
        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', v_name.relation, v_name.old, substr(v_name.old, 4));
    END LOOP;
    FOR v_name IN SELECT indexrelid::regclass AS relation, relname AS old FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                  WHERE indrelid IN ('public.jobs'::regclass, 'public.jobs_dlq'::regclass) AND relname LIKE 'ai\_jobs%' LOOP
        EXECUTE format('ALTER INDEX %s RENAME TO %I', v_name.relation, substr(v_name.old, 4));
    END LOOP;
END $$;

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
    ('estimate', 'visit', 'ai', true, true, 'visit', NULL, '30 days');

ALTER TABLE public.job_kinds ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.job_kinds FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.job_kinds TO service_role;

ALTER TABLE public.jobs ALTER COLUMN tenant_id DROP NOT NULL;
ALTER TABLE public.jobs ALTER COLUMN visit_id DROP NOT NULL;
ALTER TABLE public.jobs ADD COLUMN lane text NOT NULL DEFAULT 'ai';
ALTER TABLE public.jobs ADD COLUMN speaks boolean NOT NULL DEFAULT true;
ALTER TABLE public.jobs ADD COLUMN ends_stream boolean NOT NULL DEFAULT false;
ALTER TABLE public.jobs ADD COLUMN unique_key text;
ALTER TABLE public.jobs ALTER COLUMN lane DROP DEFAULT, ALTER COLUMN speaks DROP DEFAULT,
    ALTER COLUMN ends_stream DROP DEFAULT;
UPDATE public.jobs SET ends_stream = job_type = 'estimate', unique_key = visit_id::text;
ALTER TABLE public.jobs ADD CONSTRAINT visit_has_a_tenant CHECK (visit_id IS NULL OR tenant_id IS NOT NULL);
DROP INDEX public.jobs_one_active, public.jobs_finished, public.jobs_in_line, public.jobs_turns, public.jobs_later;
CREATE UNIQUE INDEX jobs_one_active ON public.jobs (job_type, unique_key) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_finished ON public.jobs (lane, finished_at DESC) WHERE status IN ('completed', 'cancelled');
CREATE INDEX jobs_in_line ON public.jobs (lane, (-priority::integer), turn, id)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX jobs_turns ON public.jobs (lane, tenant_id, priority, turn)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX jobs_later ON public.jobs (lane, run_at) WHERE status = 'queued' AND turn IS NULL;

ALTER TABLE public.jobs_dlq ALTER COLUMN tenant_id DROP NOT NULL;
ALTER TABLE public.jobs_dlq ALTER COLUMN visit_id DROP NOT NULL;
ALTER TABLE public.jobs_dlq ADD COLUMN lane text NOT NULL DEFAULT 'ai';
ALTER TABLE public.job_steps ALTER COLUMN tenant_id DROP NOT NULL;
ALTER TABLE public.job_steps ALTER COLUMN visit_id DROP NOT NULL;

DROP FUNCTION scopekit.current_turn(smallint);
DROP FUNCTION scopekit.next_turn(uuid, smallint);
DROP FUNCTION scopekit.promote_due_jobs(integer);

-- Each dies of its last_error and error_code.
CREATE OR REPLACE FUNCTION scopekit.dead_letter_jobs(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, lane, last_error, error_code, attempts, payload, job)
    SELECT j.id, j.tenant_id, j.visit_id, j.job_type, j.lane, j.last_error, j.error_code, j.attempts, j.payload,
           to_jsonb(j) || jsonb_build_object('status', 'failed', 'finished_at', now(), 'lease_token', NULL,
                                             'lease_expires_at', NULL)
    FROM unnest(p_jobs) AS j
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.jobs WHERE id = ANY (ARRAY(SELECT id FROM unnest(p_jobs)));
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'failed') FROM unnest(p_jobs) WHERE ends_stream;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.failed',
           jsonb_build_object('error', j.last_error, 'code', j.error_code) || scopekit.correlation(j),
           NOT j.ends_stream
    FROM unnest(p_jobs) AS j WHERE j.speaks ORDER BY j.visit_id;
END $$;

-- One job is a set of one.
CREATE OR REPLACE FUNCTION scopekit.dead_letter_job(p_job public.jobs, p_error text, p_code text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    p_job.last_error := coalesce(p_error, p_job.last_error, 'unknown error');
    p_job.error_code := coalesce(p_code, p_job.error_code, 'attempts_exhausted');
    PERFORM scopekit.dead_letter_jobs(ARRAY[p_job]);
END $$;

-- The runbook's function: an unknown id, or one with attempts left, is left alone.
CREATE OR REPLACE FUNCTION public.move_to_dlq(p_job_id uuid, p_error text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs
    WHERE id = p_job_id AND status NOT IN ('completed', 'cancelled') FOR UPDATE;
    IF FOUND AND v_job.attempts >= coalesce(v_job.max_attempts, 3) THEN
        PERFORM scopekit.dead_letter_job(v_job, p_error, NULL);
    END IF;
END $$;

-- Queue a dead job again under its own id, with everything it had and no attempt spent. A second call finds it done.
-- Returns the job's id; null for an unknown one. unique_violation when the visit has another active job by now.
CREATE OR REPLACE FUNCTION scopekit.redrive(p_dlq_id uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_dead public.jobs_dlq;
    v_job  public.jobs;
BEGIN
    SELECT * INTO v_dead FROM public.jobs_dlq WHERE id = p_dlq_id FOR UPDATE;
    IF NOT FOUND OR v_dead.retried_at IS NOT NULL THEN
        RETURN v_dead.original_job_id;
    END IF;
    v_job := jsonb_populate_record(NULL::public.jobs, v_dead.job);
    INSERT INTO public.jobs
        (id, tenant_id, visit_id, job_type, priority, max_attempts, payload, idempotency_key, correlation_id,
         trace_context, created_by, created_at, unique_key)
    VALUES (v_dead.original_job_id, v_dead.tenant_id, v_dead.visit_id, v_dead.job_type, coalesce(v_job.priority, 0),
            v_job.max_attempts, v_dead.payload, v_job.idempotency_key, v_job.correlation_id, v_job.trace_context,
            v_job.created_by, coalesce(v_job.created_at, now()), v_job.unique_key);
    UPDATE public.jobs_dlq SET retried_at = now() WHERE id = p_dlq_id;
    RETURN v_dead.original_job_id;
END $$;

-- An operator's retry. Returns the job's id; null for a letter that is not there or was discarded. The letter is locked
-- before anything is written down, so that of many calls at once the first alone acts, and is in the audit log.
-- unique_violation as scopekit.redrive.
CREATE OR REPLACE FUNCTION scopekit.retry_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.jobs_dlq WHERE id = p_id AND discarded_at IS NULL FOR UPDATE;
    IF v_letter.retried_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.retry', p_id::text, p_reason);
    RETURN scopekit.redrive(p_id);
END $$;

-- Returns the job's id; null for a letter that is not there or was retried. A second call finds it done, and is not in
-- the audit log.
CREATE OR REPLACE FUNCTION scopekit.discard_dead_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_letter public.jobs_dlq;
BEGIN
    PERFORM scopekit.require_operator();
    SELECT * INTO v_letter FROM public.jobs_dlq
    WHERE id = p_id AND (retried_at IS NULL OR discarded_at IS NOT NULL) FOR UPDATE;
    IF v_letter.discarded_at IS NOT NULL OR NOT FOUND THEN
        RETURN v_letter.original_job_id;
    END IF;
    PERFORM scopekit.begin_action('dlq.discard', p_id::text, p_reason);
    UPDATE public.jobs_dlq SET discarded_at = now(), retried_at = now() WHERE id = p_id;
    RETURN v_letter.original_job_id;
END $$;

-- Waiting letters by cause.
CREATE OR REPLACE FUNCTION scopekit.dead_letter_causes()
    RETURNS TABLE (job_type text, error_code text, cause text, letters bigint, tenants bigint,
                   oldest timestamptz, newest timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.job_type, coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), count(*),
                        count(DISTINCT d.tenant_id), min(d.moved_at), max(d.moved_at)
                 FROM public.jobs_dlq d WHERE d.retried_at IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC;
END $$;

-- The newest waiting letters.
CREATE OR REPLACE FUNCTION scopekit.dead_letters(p_limit integer)
    RETURNS TABLE (id uuid, job_id uuid, tenant_id uuid, tenant text, visit_id uuid, job_type text, error_code text,
                   cause text, last_error text, attempts integer, moved_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id, d.original_job_id, d.tenant_id, t.name, d.visit_id, d.job_type,
                        coalesce(d.error_code, ''), scopekit.dead_letter_cause(d.last_error), d.last_error, d.attempts,
                        d.moved_at
                 FROM public.jobs_dlq d LEFT JOIN public.tenants t ON t.id = d.tenant_id
                 WHERE d.retried_at IS NULL ORDER BY d.moved_at DESC LIMIT p_limit;
END $$;

-- Whether a letter still waits.
CREATE OR REPLACE FUNCTION scopekit.dead_letter_waits(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN EXISTS (SELECT FROM public.jobs_dlq WHERE id = p_id AND retried_at IS NULL);
END $$;

-- Waiting letters of a kind, the oldest first, from the one after p_after on; null matches anything. A batch begins after
-- the last letter of the one before, so that letters that cannot be retried hold none back.
CREATE OR REPLACE FUNCTION scopekit.waiting_dead_letters(
    p_job_type text, p_error_code text, p_cause text, p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_after timestamptz := (SELECT d.moved_at FROM public.jobs_dlq d WHERE d.id = p_after);
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id FROM public.jobs_dlq d
                 WHERE d.retried_at IS NULL
                   AND (v_after IS NULL OR (d.moved_at, d.id) > (v_after, p_after))
                   AND (p_job_type IS NULL OR d.job_type = p_job_type)
                   AND (p_error_code IS NULL OR coalesce(d.error_code, '') = p_error_code)
                   AND (p_cause IS NULL OR scopekit.dead_letter_cause(d.last_error) = p_cause)
                 ORDER BY d.moved_at, d.id LIMIT p_limit;
END $$;

-- The AI work, under the runbook's names: its statements read and write these as if they were tables.
CREATE VIEW public.ai_jobs WITH (security_invoker = true) AS SELECT * FROM public.jobs WHERE lane = 'ai';

-- The same of its dead letters.
CREATE VIEW public.ai_jobs_dlq WITH (security_invoker = true) AS SELECT * FROM public.jobs_dlq WHERE lane = 'ai';

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
CREATE OR REPLACE FUNCTION scopekit.notify_enqueued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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

-- A job whose request sent no id goes by its own.
CREATE OR REPLACE FUNCTION scopekit.correlation(p_job public.jobs) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object('correlation_id', coalesce(p_job.correlation_id, p_job.id::text)) $$;

-- The id under which everything about a job is found, wherever its row is; each reader sees what RLS lets it see.
CREATE OR REPLACE FUNCTION scopekit.job_correlation(p_job_id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT correlation_id FROM public.jobs WHERE id = p_job_id),
                    (SELECT job ->> 'correlation_id' FROM public.jobs_dlq
         WHERE original_job_id = p_job_id
                     ORDER BY moved_at DESC LIMIT 1),
                    p_job_id::text)
$$;

-- Append one event of a job that speaks, with its correlation id.
CREATE OR REPLACE FUNCTION scopekit.append_event(p_job public.jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload || scopekit.correlation(p_job),
           NOT p_job.ends_stream
    WHERE p_job.speaks;
END $$;

-- Whether a job runs beside the one that its visit's stream is about. Neither an estimate does, nor a job that the queue
-- does not know.
CREATE OR REPLACE FUNCTION scopekit.is_background(p_job_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT NOT ends_stream FROM public.jobs WHERE id = p_job_id),
        (SELECT NOT coalesce((job ->> 'ends_stream')::boolean, job_type = 'estimate') FROM public.jobs_dlq
         WHERE original_job_id = p_job_id
         ORDER BY retried_at DESC NULLS FIRST LIMIT 1),
        false)
$$;

-- 1 for the next in line; counts to 1000. Null when it is not in line, or is not this tenant's.
CREATE OR REPLACE FUNCTION scopekit.queue_position(p_job_id uuid) RETURNS integer LANGUAGE plpgsql STABLE SECURITY DEFINER
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

-- What a job looks like from outside, wherever its row is; each reader sees what RLS lets it see.
CREATE OR REPLACE VIEW scopekit.job_statuses WITH (security_invoker = true) AS
SELECT id, tenant_id, visit_id, job_type, status, attempts, coalesce(max_attempts, 3) AS max_attempts,
       CASE status WHEN 'queued' THEN scopekit.queue_position(id) END AS position,
       run_at, created_at, started_at, finished_at, last_error, error_code, result,
       cancel_requested_at IS NOT NULL AS cancel_requested, idempotency_key,
       extract(epoch FROM run_at - now())::double precision AS due_in_s
FROM public.jobs
UNION ALL
SELECT original_job_id, tenant_id, visit_id, job_type, 'failed', attempts,
       coalesce((job ->> 'max_attempts')::integer, 3), NULL,
       coalesce((job ->> 'run_at')::timestamptz, moved_at), coalesce((job ->> 'created_at')::timestamptz, moved_at),
       (job ->> 'started_at')::timestamptz, moved_at, last_error, error_code, NULL,
       job ->> 'cancel_requested_at' IS NOT NULL, job ->> 'idempotency_key', NULL
FROM public.jobs_dlq WHERE retried_at IS NULL OR discarded_at IS NOT NULL;

-- How these jobs have ended so far: for the trigger route, which watches jobs of every tenant.
CREATE OR REPLACE FUNCTION scopekit.job_outcomes(p_ids uuid[])
    RETURNS TABLE (job_id uuid, visit_id uuid, status text, result jsonb, error text) LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id, visit_id, status, result, last_error FROM public.jobs WHERE id = ANY (p_ids)
    UNION ALL
    SELECT original_job_id, visit_id, 'failed', NULL, last_error FROM public.jobs_dlq
    WHERE original_job_id = ANY (p_ids) AND retried_at IS NULL
$$;

-- The next in line, and behind them those that have come due since the last claim.
CREATE OR REPLACE FUNCTION scopekit.due_jobs(p_limit integer) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
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

-- The turn now served at a priority of a lane. The sequence is of the lane `ai`.
CREATE FUNCTION scopekit.current_turn(p_lane text, p_priority smallint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_priority = 0 AND p_lane = 'ai' THEN
        RETURN (SELECT last_value FROM scopekit.turn_served);
    END IF;
    RETURN coalesce((SELECT turn FROM public.jobs
                     WHERE lane = p_lane AND status = 'queued' AND turn IS NOT NULL
                       AND -priority::integer = -p_priority::integer
                     ORDER BY turn LIMIT 1), 0);
END $$;

-- One after the tenant's last waiting job, but never before the turn now served. Volatile, to see the rows that the same
-- INSERT has made before this one. Planned for its one index whatever the statistics say: with those of an empty queue
-- it would be a sequential scan for every row of a large INSERT.
CREATE FUNCTION scopekit.next_turn(p_lane text, p_tenant_id uuid, p_priority smallint) RETURNS bigint LANGUAGE plpgsql
    SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_current bigint := scopekit.current_turn(p_lane, p_priority);
BEGIN
    RETURN greatest(v_current, (
        SELECT turn + 1 FROM public.jobs
        WHERE status = 'queued' AND lane = p_lane AND tenant_id = p_tenant_id AND priority = p_priority
          AND turn >= v_current
        ORDER BY turn DESC LIMIT 1));
END $$;

-- Give a new job its turn. The last turn given stands in a setting of the transaction: looked up for each row of a large
-- INSERT it was 15 of the 57 us that the row takes. A transaction that goes on for long gives turns that have been served
-- by then, and those are found by the look everywhere. The assignment is no statement of its own, as with PERFORM: that
-- took a third of its time.
CREATE OR REPLACE FUNCTION scopekit.set_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_lane CONSTANT text := concat_ws('/', NEW.lane, NEW.tenant_id, NEW.priority, '');
    v_last text := current_setting('scopekit.last_turn', true);
BEGIN
    IF NEW.run_at > now() THEN
        NEW.turn := NULL;
        RETURN NEW;
    END IF;
    NEW.turn := CASE WHEN starts_with(v_last, v_lane) THEN substr(v_last, length(v_lane) + 1)::bigint + 1
                     ELSE scopekit.next_turn(NEW.lane, NEW.tenant_id, NEW.priority) END;
    v_last := set_config('scopekit.last_turn', v_lane || NEW.turn, true);
    RETURN NEW;
END $$;

-- Let up to p_limit jobs of each lane whose time has come join its line; returns how many did. Nearly always none is due:
-- it ends there.
CREATE FUNCTION scopekit.promote_due_jobs(p_limit integer, p_lanes text[]) RETURNS integer LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_due  uuid[] := '{}';
    v_lane text;
BEGIN
    FOREACH v_lane IN ARRAY p_lanes LOOP
        v_due := v_due || ARRAY(
            SELECT id FROM public.jobs WHERE lane = v_lane AND status = 'queued' AND turn IS NULL AND run_at <= now()
            ORDER BY run_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    END LOOP;
    IF cardinality(v_due) = 0 THEN
        RETURN 0;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT id, lane, tenant_id, priority, run_at FROM public.jobs WHERE id = ANY (v_due)
    ), ends AS MATERIALIZED (
        SELECT lane, tenant_id, priority, scopekit.next_turn(lane, tenant_id, priority) AS turn FROM due GROUP BY 1, 2, 3
    ), placed AS (
        SELECT due.id, ends.turn - 1 + row_number() OVER (
                   PARTITION BY lane, due.tenant_id, priority ORDER BY due.run_at, due.id) AS turn
        FROM due JOIN ends USING (lane, priority) WHERE ends.tenant_id IS NOT DISTINCT FROM due.tenant_id
    )
    UPDATE public.jobs AS j SET turn = placed.turn FROM placed WHERE j.id = placed.id AND j.id = ANY (v_due);
    RETURN cardinality(v_due);
END $$;

-- How many more jobs of a tenant may start.
CREATE OR REPLACE FUNCTION scopekit.free_slots(p_tenant_id uuid, p_cap integer) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT max_running_jobs FROM public.tenant_settings WHERE tenant_id = p_tenant_id), p_cap)
           - (SELECT count(*) FROM public.jobs WHERE status = 'running' AND lane = 'ai' AND tenant_id = p_tenant_id);
END $$;

-- How many jobs may be claimed at a time as far as this engine goes: null any number, 0 no estimate, 1 the probe.
CREATE OR REPLACE FUNCTION scopekit.engine_slots(p_engine text) RETURNS integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_until timestamptz;
BEGIN
    SELECT coalesce(until, 'infinity') INTO v_until FROM public.queue_control
    WHERE name = 'engine:' || p_engine AND paused;
    RETURN CASE WHEN NOT FOUND THEN NULL
                WHEN v_until > now() OR EXISTS (
                    SELECT FROM public.jobs WHERE status = 'running' AND job_type = 'estimate') THEN 0
                ELSE 1 END;
END $$;

-- Lock the next up to p_limit jobs in the line of the lane `ai`, from a turn on where the priority is the ordinary one.
-- Planned for this one index whatever the statistics say: taken while the queue was empty, they would have the planner
-- sort a hundred thousand jobs at every claim.
CREATE OR REPLACE FUNCTION scopekit.lock_next_jobs(p_limit integer, p_from bigint, p_paused text[], p_full uuid[])
    RETURNS TABLE (id uuid, tenant_id uuid, priority smallint, turn bigint) LANGUAGE plpgsql
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
            SELECT j.id, j.tenant_id, j.priority, j.turn FROM public.jobs AS j
            WHERE j.lane = 'ai' AND j.status = 'queued' AND -j.priority::integer BETWEEN v_lane.column1 AND v_lane.column2
              AND j.turn >= v_lane.column3 AND j.run_at <= now()
              AND j.job_type <> ALL (p_paused) AND j.tenant_id <> ALL (p_full)
            ORDER BY -j.priority::integer, j.turn, j.id LIMIT v_left FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
    END LOOP;
END $$;

-- Start up to p_limit of the next in line, of each tenant as many as it has room for. `full_tenants` are those that had
-- none left for a job seen here; `first` and `last` are the turns seen at ordinary priority.
CREATE OR REPLACE FUNCTION scopekit.start_next_jobs(p_limit integer, p_from bigint, p_paused text[], p_full uuid[],
                                         p_capped boolean, p_cap integer, p_worker text, p_lease interval,
                                         OUT ids uuid[], OUT full_tenants uuid[], OUT first bigint, OUT last bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(array_agg(f.id) FILTER (WHERE f.nth <= f.free), '{}'),
           coalesce(array_agg(DISTINCT f.tenant_id) FILTER (WHERE f.nth > f.free), '{}'),
           min(f.turn) FILTER (WHERE f.priority = 0), max(f.turn) FILTER (WHERE f.priority = 0)
    INTO ids, full_tenants, first, last FROM (
        SELECT n.*, row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.priority DESC, n.turn, n.id) AS nth,
               CASE WHEN p_capped THEN coalesce(scopekit.free_slots(n.tenant_id, p_cap), p_limit) ELSE p_limit END AS free
        FROM scopekit.lock_next_jobs(p_limit, p_from, p_paused, p_full) AS n
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
    LOOP  -- Once; and once more for every tenant that is found full.
        SELECT * INTO v_some FROM scopekit.start_next_jobs(
            v_limit - cardinality(v_ids), CASE WHEN p_everywhere THEN 0 ELSE v_current - c_slack END,
            v_paused, v_full, v_capped, p_cap, p_worker, p_lease);
        v_ids := v_ids || v_some.ids;
        v_full := v_full || v_some.full_tenants;
        v_first := least(v_first, v_some.first);
        EXIT WHEN cardinality(v_some.full_tenants) = 0 OR cardinality(v_ids) >= v_limit;
    END LOOP;
    -- Past a tenant that waits for its cap the front does not move; where nobody is left in line it goes on by one.
    IF cardinality(v_full) = 0 THEN
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
CREATE FUNCTION scopekit.claim_background_jobs(p_lanes text[], p_limits integer[], p_worker text, p_lease interval)
    RETURNS SETOF public.jobs LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    v_paused CONSTANT text[] := scopekit.paused_types();
    v_ids    uuid[] := '{}';
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

-- Lock a job for its worker; null when the lease is lost.
CREATE OR REPLACE FUNCTION scopekit.lock_leased_job(p_job_id uuid, p_token uuid) RETURNS public.jobs LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs;
BEGIN
    SELECT * INTO v_job FROM public.jobs WHERE id = p_job_id AND lease_token = p_token FOR UPDATE;
    RETURN v_job;
END $$;

-- Extend all leases of one process; returns those it still holds. A row that another session is writing at this moment
-- is held but extended only the next time: one slow commit must not hold up the others. A token is of one attempt at one
-- job, so that no pairs need be compared.
CREATE OR REPLACE FUNCTION scopekit.renew_leases(p_jobs uuid[], p_tokens uuid[], p_lease interval)
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
CREATE OR REPLACE FUNCTION scopekit.append_events(p_job_id uuid, p_token uuid, p_events jsonb, p_relaxed boolean DEFAULT false)
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
CREATE OR REPLACE FUNCTION scopekit.put_checkpoint(p_job_id uuid, p_token uuid, p_step text, p_item text, p_value jsonb)
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
CREATE OR REPLACE FUNCTION scopekit.begin_completion(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    RETURN CASE WHEN v_job.id IS NULL THEN 'lost' WHEN v_job.cancel_requested_at IS NOT NULL THEN 'cancelled'
                ELSE 'held' END;
END $$;

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each token: completed, cancelled (a cancel was accepted first; left as it
-- is) or lost. Two attempts at one job may stand in one batch; a token is of one attempt, so all that follows goes by it.
CREATE OR REPLACE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, token uuid, answer text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_ids       CONSTANT uuid[] := ARRAY(SELECT d.id FROM jsonb_to_recordset(p_done) AS d(id uuid));
    v_tokens    CONSTANT uuid[] := ARRAY(SELECT d.token FROM jsonb_to_recordset(p_done) AS d(token uuid));
    v_held      uuid[];
    v_cancelled uuid[];
    v_estimates uuid[];
    v_visits    uuid[];
    v_tenants   uuid[];
    v_jobs      uuid[];
    v_payloads  jsonb[];
    v_beside    boolean[];
BEGIN
    SELECT array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NULL),
           array_agg(l.lease_token) FILTER (WHERE l.cancel_requested_at IS NOT NULL),
           array_agg(l.visit_id) FILTER (WHERE l.cancel_requested_at IS NULL AND l.ends_stream)
    INTO v_held, v_cancelled, v_estimates FROM (
        SELECT lease_token, cancel_requested_at, visit_id, ends_stream FROM public.jobs
        WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens)
        ORDER BY id FOR UPDATE) AS l;
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
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;

-- The worker could not finish. Without p_delay another try makes no sense; p_refund gives the attempt back.
-- Returns the state the job is in now: queued, failed or cancelled; null when the lease is lost.
CREATE OR REPLACE FUNCTION scopekit.fail_job(p_job_id uuid, p_token uuid, p_error text, p_code text, p_delay interval,
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
CREATE OR REPLACE FUNCTION scopekit.release_job(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE FUNCTION scopekit.finish_cancelled(p_job_id uuid, p_token uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job public.jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM scopekit.cancel_locked_job(v_job);
    RETURN 'cancelled';
END $$;

-- Cancel at once when queued; else notify the worker, which stops within half a second. Final jobs stay as they are.
-- Returns the state the job is in now; null when it is not this tenant's or not there.
CREATE OR REPLACE FUNCTION scopekit.cancel_job(p_job_id uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
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

-- Back into the queue, due after p_delay. Returns when.
CREATE OR REPLACE FUNCTION scopekit.requeue_job(p_job public.jobs, p_attempts integer, p_delay interval)
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
CREATE OR REPLACE FUNCTION scopekit.cancel_locked_jobs(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE FUNCTION scopekit.cancel_locked_job(p_job public.jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.cancel_locked_jobs(ARRAY[p_job]);
END $$;

-- The workers are gone: each job waits its backoff, with the attempt spent and the loss counted.
CREATE OR REPLACE FUNCTION scopekit.requeue_lost(p_jobs public.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.released', scopekit.correlation(j), NOT j.ends_stream
    FROM unnest(p_jobs) AS j WHERE j.speaks ORDER BY j.visit_id;
END $$;

-- Free up to p_limit expired leases, let as many due jobs join the line, and count the jobs that wait for a worker. What
-- becomes of each is decided first, then the visits of all are locked in the order of their ids, the visits before the
-- streams, as every transaction that locks several does.
CREATE OR REPLACE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
    RETURNS TABLE (requeued integer, dead integer, cancelled integer, due integer) LANGUAGE plpgsql AS $$
DECLARE
    v_expired   CONSTANT public.jobs[] := ARRAY(
        SELECT j FROM public.jobs AS j WHERE status = 'running' AND lease_expires_at < now()
        ORDER BY lease_expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
    v_visits    CONSTANT uuid[] := ARRAY(SELECT visit_id FROM unnest(v_expired) WHERE speaks);
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
    PERFORM FROM public.site_visits WHERE id = ANY (v_visits) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM public.visit_streams WHERE visit_id = ANY (v_visits) ORDER BY visit_id FOR NO KEY UPDATE;
    PERFORM scopekit.cancel_locked_jobs(v_cancelled), scopekit.dead_letter_jobs(v_dead), scopekit.requeue_lost(v_again);
    PERFORM scopekit.promote_due_jobs(p_limit, ARRAY(SELECT lane FROM public.job_kinds UNION SELECT 'ai'));
    requeued := cardinality(v_again); dead := cardinality(v_dead); cancelled := cardinality(v_cancelled);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

-- Delete finished jobs that are older than their kind keeps them, AI work older than p_keep, and checkpoints that no job
-- is left to read. Events stay as long as their visit: a stream's history is read from its beginning. Returns how many rows went, at most about p_limit of each kind.
CREATE OR REPLACE FUNCTION scopekit.prune(p_keep interval, p_limit integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql AS $$
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

REVOKE ALL ON FUNCTION scopekit.set_kind() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.set_kind() TO service_role;
REVOKE ALL ON FUNCTION scopekit.mark_retried() FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.mark_retried() TO service_role;
REVOKE ALL ON FUNCTION scopekit.register_kinds(jsonb) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.register_kinds(jsonb) TO service_role;
REVOKE ALL ON FUNCTION scopekit.current_turn(text, smallint) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.current_turn(text, smallint) TO service_role;
REVOKE ALL ON FUNCTION scopekit.next_turn(text, uuid, smallint) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.next_turn(text, uuid, smallint) TO service_role;
REVOKE ALL ON FUNCTION scopekit.promote_due_jobs(integer, text[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.promote_due_jobs(integer, text[]) TO service_role;
REVOKE ALL ON FUNCTION scopekit.claim_background_jobs(text[], integer[], text, interval) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.claim_background_jobs(text[], integer[], text, interval) TO service_role;

-- Other lanes are the product's own: a mail holds what its tenant's members must not read, nor send.
CREATE POLICY ai_alone ON public.jobs AS RESTRICTIVE TO authenticated USING (lane = 'ai');
CREATE POLICY ai_alone ON public.jobs_dlq AS RESTRICTIVE TO authenticated USING (lane = 'ai');
REVOKE ALL ON public.ai_jobs, public.ai_jobs_dlq FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.ai_jobs, public.ai_jobs_dlq TO service_role;
GRANT SELECT ON public.ai_jobs, public.ai_jobs_dlq TO authenticated;
GRANT INSERT (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, trace_context, created_by,
              priority, run_at) ON public.ai_jobs TO authenticated;

CREATE TRIGGER dead_letter_retried BEFORE INSERT ON public.jobs FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.mark_retried();
CREATE TRIGGER set_kind BEFORE INSERT ON public.jobs FOR EACH ROW EXECUTE FUNCTION scopekit.set_kind();
