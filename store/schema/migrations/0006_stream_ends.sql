-- An event says itself whether it ends its visit's stream, and whether it is of a job beside the one the stream is about.

ALTER TABLE public.visit_streams RENAME COLUMN job_event TO ended_by;
UPDATE public.visit_streams SET ended_by = NULL WHERE ended_by NOT IN ('job.completed', 'job.failed', 'job.cancelled');

ALTER TABLE public.processing_events ADD COLUMN background boolean NOT NULL DEFAULT false;
ALTER TABLE public.processing_events ALTER COLUMN background DROP DEFAULT;

DROP INDEX public.ai_jobs_idempotency;
CREATE UNIQUE INDEX ai_jobs_idempotency ON public.ai_jobs (tenant_id, job_type, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
DROP INDEX public.ai_jobs_dlq_idempotency;
CREATE INDEX ai_jobs_dlq_idempotency ON public.ai_jobs_dlq (tenant_id, job_type, (job ->> 'idempotency_key'));

DROP FUNCTION scopekit.bulk_append_events(text, uuid[], uuid[], uuid[], jsonb[], integer);
DROP FUNCTION scopekit.stream_heads(uuid[]);
DROP FUNCTION scopekit.stream_snapshot(uuid);
DROP FUNCTION scopekit.open_streams(uuid, uuid, uuid[], boolean);
DROP FUNCTION scopekit.ends_stream(text, uuid);

-- Each dies of its last_error and error_code.
CREATE OR REPLACE FUNCTION scopekit.dead_letter_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ai_jobs_dlq AS d
        (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts, payload, job)
    SELECT j.id, j.tenant_id, j.visit_id, j.job_type, j.last_error, j.error_code, j.attempts, j.payload,
           to_jsonb(j) || jsonb_build_object('status', 'failed', 'finished_at', now(), 'lease_token', NULL,
                                             'lease_expires_at', NULL)
    FROM unnest(p_jobs) AS j
    ON CONFLICT (original_job_id) WHERE retried_at IS NULL DO UPDATE
        SET last_error = excluded.last_error, error_code = excluded.error_code, attempts = excluded.attempts,
            payload = excluded.payload, job = excluded.job, moved_at = excluded.moved_at;
    DELETE FROM public.ai_jobs WHERE id = ANY (ARRAY(SELECT id FROM unnest(p_jobs)));
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'failed') FROM unnest(p_jobs) WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.failed',
           jsonb_build_object('error', j.last_error, 'code', j.error_code) || scopekit.correlation(j),
           j.job_type <> 'estimate'
    FROM unnest(p_jobs) AS j ORDER BY j.visit_id;
END $$;

-- The event as it goes out, on one line and made once: NOTIFY carries it, a replay repeats it byte for byte, and the
-- relay reads only what stands before the payload. jsonb has no raw line break, no U+0000 (its own input refuses the
-- escape \u0000, so such a payload must be cleaned by its writer) and no lone surrogate.
CREATE OR REPLACE FUNCTION scopekit.event_document(p_event public.processing_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"visit_id":"' || p_event.visit_id || '","seq":' || p_event.seq
        || ',"job_id":' || coalesce('"' || p_event.job_id || '"', 'null')
        || ',"type":"' || p_event.type || '"'
        || CASE WHEN p_event.background THEN ',"background":true' ELSE '' END
        || CASE WHEN p_event.ends_stream THEN ',"ends_stream":true' ELSE '' END
        || ',"payload":' || p_event.payload
        || ',"created_at":' || coalesce('"' || to_char(p_event.created_at AT TIME ZONE 'UTC',
                                                       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        || '}'
$$;

-- Whether a job's life ends with such an event.
CREATE FUNCTION scopekit.is_final(p_type text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$ SELECT p_type IN ('job.completed', 'job.failed', 'job.cancelled') $$;

-- Give the row the next number of its visit, whatever number it came with, and notify the relays when it commits. The
-- visit's row in visit_streams stays locked to the end of the transaction. A writer in REPEATABLE READ or SERIALIZABLE may
-- therefore have to repeat its transaction.
CREATE OR REPLACE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_of_job   boolean := NEW.type LIKE 'job.%';
    v_epoch    bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_written  bigint;
    v_document text;
BEGIN
    IF NEW.background IS NULL THEN
        NEW.background := v_of_job AND scopekit.is_background(NEW.job_id);
    END IF;
    v_of_job := v_of_job AND NOT NEW.background;
    IF NEW.ends_stream IS NULL THEN
        NEW.ends_stream := v_of_job AND scopekit.is_final(NEW.type);
    END IF;
    IF v_epoch IS NULL THEN  -- two who come here at once make two epochs, and a few streams leap twice
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, ended_by, epoch)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN NEW.ends_stream THEN NEW.type END, v_epoch)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq = stream.last_seq + 1,
        job_id   = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        ended_by = CASE WHEN NEW.ends_stream THEN NEW.type WHEN NOT v_of_job THEN stream.ended_by END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq, stream.epoch INTO NEW.seq, v_written;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_written <> v_epoch OR (NEW.seq = 1 AND v_epoch > 1 AND EXISTS (  -- the crash may have taken the whole stream
        SELECT 1 FROM public.site_visits v
        WHERE v.id = NEW.visit_id AND v.created_at < to_timestamp(v_epoch / 1000000.0))) THEN
        NEW.seq := scopekit.advance_epoch(NEW.visit_id, v_epoch);
    END IF;
    IF pg_sequence_last_value('scopekit.bus_transport') > 2 THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) VALUES (NEW.visit_id, NEW.seq);
    END IF;
    IF pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2 THEN
        v_document := scopekit.event_document(NEW);
        PERFORM pg_notify('processing_events', scopekit.event_notification(NEW.visit_id, NEW.seq, v_document));
    END IF;
    RETURN NEW;
END $$;

-- Insert an event of this type for each of these visits, in their order, with its tenant, job and payload: numbered,
-- notified and locked as the trigger does it, but by one statement. One by one each event took 37 us of the 55 that a job
-- of a bulk enqueue took. Where a visit comes twice, the trigger does it.
--
-- Of more than p_whole events only the numbers are sent, many to a notification, a line each; relays read the events of
-- visits that somebody watches. One by one, a statement that queued 30,000 jobs held the loop of every gateway up for
-- 30,000 calls, and was itself a tenth slower. p_background says which of the events are of background jobs; null: none.
CREATE FUNCTION scopekit.bulk_append_events(p_type text, p_visits uuid[], p_tenants uuid[], p_jobs uuid[],
                                            p_payloads jsonb[], p_whole integer DEFAULT 1000,
                                  p_background boolean[] DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    c_lines  CONSTANT integer := 100;  -- of 78 bytes: NOTIFY takes less than 8,000
    v_epoch  bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_of_job CONSTANT boolean := p_type LIKE 'job.%';
    v_final  CONSTANT boolean := scopekit.is_final(p_type);
    v_beside CONSTANT boolean[] := coalesce(p_background, array_fill(false, ARRAY[cardinality(p_visits)]));
    v_whole  CONSTANT boolean := cardinality(p_visits) <= p_whole;
    v_locked uuid[];
    v_seqs   bigint[];
    v_epochs bigint[];
    v_notify boolean;
    v_bus    boolean;
    v_messages text[];
BEGIN
    IF cardinality(p_visits) < 2 OR cardinality(p_visits) > (SELECT count(DISTINCT id) FROM unnest(p_visits) AS v(id)) THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
        SELECT visit_id, tenant_id, job_id, p_type, payload, beside
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_beside) AS e(visit_id, tenant_id, job_id, payload, beside);
        RETURN;
    END IF;
    IF v_epoch IS NULL THEN
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    WITH stream AS (
        INSERT INTO public.visit_streams AS s (visit_id, tenant_id, last_seq, job_id, ended_by, epoch)
        SELECT visit_id, tenant_id, 1, CASE WHEN v_of_job AND NOT beside THEN job_id END,
               CASE WHEN v_final AND NOT beside THEN p_type END, v_epoch
        FROM unnest(p_visits, p_tenants, p_jobs, v_beside) AS e(visit_id, tenant_id, job_id, beside)
        ON CONFLICT (visit_id) DO UPDATE SET
            last_seq = s.last_seq + 1,
            job_id   = coalesce(EXCLUDED.job_id, s.job_id),
            ended_by = CASE WHEN v_final THEN coalesce(EXCLUDED.ended_by, s.ended_by)
                            WHEN EXCLUDED.job_id IS NULL THEN s.ended_by END
        WHERE s.tenant_id = EXCLUDED.tenant_id
        RETURNING visit_id, last_seq, epoch
    )
    SELECT array_agg(visit_id), array_agg(last_seq), array_agg(epoch) INTO v_locked, v_seqs, v_epochs FROM stream;
    IF v_locked IS DISTINCT FROM p_visits THEN
        RAISE EXCEPTION 'some of these visits are not of the tenants named' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_epoch > 1 OR v_epoch <> ANY (v_epochs) THEN
        v_seqs := ARRAY(
            SELECT CASE WHEN t.epoch <> v_epoch OR v.created_at < to_timestamp(v_epoch / 1000000.0)
                        THEN scopekit.advance_epoch(t.visit_id, v_epoch) ELSE t.seq END
            FROM unnest(p_visits, v_seqs, v_epochs) WITH ORDINALITY AS t(visit_id, seq, epoch, place)
            LEFT JOIN LATERAL (SELECT created_at FROM public.site_visits WHERE id = t.visit_id) AS v ON t.seq = 1
            ORDER BY place);
    END IF;
    PERFORM set_config('scopekit.numbering', 'on', true);  -- in a SET clause it would take a superuser
    v_notify := pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2;
    v_bus := pg_sequence_last_value('scopekit.bus_transport') > 2;
    IF v_notify AND v_whole THEN
        WITH new AS (
            INSERT INTO public.processing_events
                (visit_id, tenant_id, job_id, type, payload, seq, ends_stream, background)
            SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND NOT beside, beside
            FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs, v_beside)
                AS e(visit_id, tenant_id, job_id, payload, seq, beside)
            RETURNING visit_id, seq, processing_events AS event
        )
        SELECT array_agg(scopekit.event_notification(visit_id, seq, scopekit.event_document(event))) INTO v_messages
        FROM new;
    ELSE
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq, ends_stream, background)
        SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND NOT beside, beside
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs, v_beside)
            AS e(visit_id, tenant_id, job_id, payload, seq, beside);
    END IF;
    IF v_notify AND NOT v_whole THEN
        v_messages := ARRAY(SELECT string_agg(scopekit.event_notification(visit_id, seq, NULL), E'\n')
                         FROM unnest(p_visits, v_seqs) WITH ORDINALITY AS e(visit_id, seq, place)
                         GROUP BY place / c_lines);
    END IF;
    IF v_bus THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) SELECT * FROM unnest(p_visits, v_seqs);
    END IF;
    IF v_notify THEN  -- as a part of an expression: a function in FROM keeps each answer in a file of its own
        v_notify := bool_and(pg_notify('processing_events', message) IS NOT NULL) FROM unnest(v_messages) AS w(message);
    END IF;
    PERFORM set_config('scopekit.numbering', '', true);
END $$;

-- Where streams stand and leapt, and whether their tenants may have them; a deleted visit has no row.
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, ended_by text, enabled boolean, epoch_gaps bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.ended_by,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false),
           coalesce(s.epoch_gaps, '{}')
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

-- What a first connection starts from: the position, then what the latest job has done up to there. One statement is
-- one snapshot, so nothing can fall between the two. Each step of this attempt is {status, done, total, ms}.
CREATE FUNCTION scopekit.stream_snapshot(p_visit_id uuid)
    RETURNS TABLE (last_seq bigint, job_id uuid, ended_by text, steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH stream AS (
        SELECT s.last_seq, s.job_id, s.ended_by FROM public.visit_streams s WHERE s.visit_id = p_visit_id
    ), of_job AS (
        SELECT e.seq, e.type, e.payload FROM public.processing_events e JOIN stream ON stream.job_id = e.job_id
        WHERE e.visit_id = p_visit_id
    ), of_attempt AS (
        SELECT * FROM of_job
        WHERE seq > coalesce((SELECT max(seq) FROM of_job WHERE type IN ('job.queued', 'job.started')), 0)
    ), step AS (
        SELECT payload ->> 'step' AS name,
               jsonb_build_object(
                   'status', CASE WHEN bool_or(type = 'step.completed') THEN 'completed' ELSE 'running' END,
                   'done',  (array_agg(payload -> 'done' ORDER BY seq DESC) FILTER (WHERE payload ? 'done'))[1],
                   'total', (array_agg(payload -> 'total' ORDER BY seq DESC) FILTER (WHERE payload ? 'total'))[1],
                   'ms',    (array_agg(payload -> 'ms' ORDER BY seq DESC) FILTER (WHERE payload ? 'ms'))[1]) AS state
        FROM of_attempt WHERE type LIKE 'step.%' AND payload ->> 'step' IS NOT NULL GROUP BY 1
    )
    SELECT coalesce((SELECT stream.last_seq FROM stream), 0),
           (SELECT stream.job_id FROM stream),
           (SELECT stream.ended_by FROM stream),
           coalesce((SELECT jsonb_object_agg(name, state) FROM step), '{}')
$$;

-- What streams are opened with, in one round trip: whether this tenant has streams, whether the visit is its own, where
-- the visit's stream stands and leapt and, when asked for, what its latest job has done up to there. A row for each visit
-- asked for. The tenant is the verified token's; the comparison is the one that the policies make. With a
-- user, the first row has the tenant's members as well, 500 at most, this user before all others.
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, epoch_gaps bigint[],
                   job_id uuid, ended_by text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0),
           coalesce(s.epoch_gaps, '{}'), s.job_id, s.ended_by,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

-- Whoever enqueues, with whatever INSERT, one job or ten thousand: the visits' subscribers and the workers are notified.
-- It writes what its caller, who may only queue jobs, must not.
CREATE OR REPLACE FUNCTION scopekit.notify_enqueued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    PERFORM scopekit.bulk_append_events(
        'job.queued', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(CASE WHEN turn IS NULL
                  THEN jsonb_build_object('correlation_id', coalesce(correlation_id, id::text), 'run_at', run_at)
                  ELSE jsonb_build_object('correlation_id', coalesce(correlation_id, id::text)) END),
        p_background => array_agg(job_type <> 'estimate'))
    FROM (SELECT * FROM enqueued WHERE status = 'queued' ORDER BY visit_id) AS job HAVING count(*) > 0;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;

-- Append one event of a job, with its correlation id.
CREATE OR REPLACE FUNCTION scopekit.append_event(p_job public.ai_jobs, p_type text, p_payload jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    VALUES (p_job.visit_id, p_job.tenant_id, p_job.id, p_type, p_payload || scopekit.correlation(p_job),
            p_job.job_type <> 'estimate');
END $$;

-- Whether a job runs beside the one that its visit's stream is about. Neither an estimate does, nor a job that the queue
-- does not know.
CREATE FUNCTION scopekit.is_background(p_job_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT job_type <> 'estimate' FROM public.ai_jobs WHERE id = p_job_id),
        (SELECT job_type <> 'estimate' FROM public.ai_jobs_dlq WHERE original_job_id = p_job_id
         ORDER BY retried_at DESC NULLS FIRST LIMIT 1),
        false)
$$;

-- Start up to p_limit due jobs: priority, then turn (fairness between tenants), then age; of a tenant no more than its
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
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    c_slack  CONSTANT integer := 64;  -- turns served while an INSERT may still be on its way to its commit
    v_capped CONSTANT boolean := scopekit.has_tenant_caps(p_cap);
    v_slots  integer := scopekit.engine_slots(p_engine);
    v_limit  integer := p_limit;
    v_paused text[] := scopekit.paused_types();
    v_current CONSTANT bigint := scopekit.current_turn(0::smallint);
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
    PERFORM scopekit.promote_due_jobs(100);
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
        p_background => array_agg(job_type <> 'estimate'))
    FROM (
        WITH started AS MATERIALIZED (SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids))
        SELECT * FROM started ORDER BY visit_id
    ) AS started HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Append events [{type, payload}, ...] in order; false when the lease is lost. `p_relaxed` may lose the last few to
-- a power cut and spares each of them a disk write: for progress only.
CREATE OR REPLACE FUNCTION scopekit.append_events(p_job_id uuid, p_token uuid, p_events jsonb, p_relaxed boolean DEFAULT false)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job public.ai_jobs := scopekit.lock_leased_job(p_job_id, p_token);
BEGIN
    IF v_job.id IS NULL THEN
        RETURN false;
    END IF;
    IF p_relaxed THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT v_job.visit_id, v_job.tenant_id, v_job.id, event.value ->> 'type', event.value -> 'payload',
           v_job.job_type <> 'estimate'
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS event(value, position) ORDER BY event.position;
    RETURN true;
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
           array_agg(l.visit_id) FILTER (WHERE l.cancel_requested_at IS NULL AND l.job_type = 'estimate')
    INTO v_held, v_cancelled, v_estimates FROM (
        SELECT lease_token, cancel_requested_at, visit_id, job_type FROM public.ai_jobs
        WHERE id = ANY (v_ids) AND lease_token = ANY (v_tokens)
        ORDER BY id FOR UPDATE) AS l;
    PERFORM scopekit.set_visits_status(v_estimates, 'completed');
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
    SELECT array_agg(f.visit_id), array_agg(f.tenant_id), array_agg(f.id),
           array_agg(f.result || jsonb_build_object('correlation_id', coalesce(f.correlation_id, f.id::text))),
           array_agg(f.job_type <> 'estimate')
    INTO v_visits, v_tenants, v_jobs, v_payloads, v_beside FROM (SELECT * FROM finished ORDER BY visit_id) AS f;
    IF v_visits IS NOT NULL THEN
        PERFORM scopekit.bulk_append_events('job.completed', v_visits, v_tenants, v_jobs, v_payloads, p_background => v_beside);
    END IF;
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;

-- Cancelled: its checkpoints go, and what they cost is kept.
CREATE OR REPLACE FUNCTION scopekit.cancel_locked_jobs(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
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
    PERFORM scopekit.set_visits_status(array_agg(visit_id), 'in_progress') FROM unnest(p_jobs)
    WHERE job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.cancelled', scopekit.correlation(j), j.job_type <> 'estimate'
    FROM unnest(p_jobs) AS j ORDER BY j.visit_id;
END $$;

-- The workers are gone: each job waits its backoff, with the attempt spent and the loss counted.
CREATE OR REPLACE FUNCTION scopekit.requeue_lost(p_jobs public.ai_jobs[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.ai_jobs AS j
    SET status = 'queued', turn = NULL, run_at = now() + scopekit.backoff(lost.lost_leases, random()),
        lost_leases = lost.lost_leases, lease_token = NULL, lease_expires_at = NULL
    FROM unnest(p_jobs) AS lost WHERE j.id = lost.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
    SELECT j.visit_id, j.tenant_id, j.id, 'job.released', scopekit.correlation(j), j.job_type <> 'estimate'
    FROM unnest(p_jobs) AS j ORDER BY j.visit_id;
END $$;

REVOKE ALL ON FUNCTION scopekit.is_final(text) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.is_final(text) TO service_role;
REVOKE ALL ON FUNCTION scopekit.bulk_append_events(text, uuid[], uuid[], uuid[], jsonb[], integer, boolean[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.bulk_append_events(text, uuid[], uuid[], uuid[], jsonb[], integer, boolean[]) TO service_role;
REVOKE ALL ON FUNCTION scopekit.stream_heads(uuid[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.stream_heads(uuid[]) TO scopekit_gateway, service_role;
REVOKE ALL ON FUNCTION scopekit.stream_snapshot(uuid) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.stream_snapshot(uuid) TO scopekit_gateway, service_role;
REVOKE ALL ON FUNCTION scopekit.open_streams(uuid, uuid, uuid[], boolean) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.open_streams(uuid, uuid, uuid[], boolean) TO scopekit_gateway, service_role;
REVOKE ALL ON FUNCTION scopekit.is_background(uuid) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.is_background(uuid) TO service_role;

