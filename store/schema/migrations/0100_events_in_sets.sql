-- Events of many visits numbered by one statement: one by one each took 37 us of the 55 that a job of a bulk enqueue
-- took, most of it the start and the end of the trigger's own statements.

-- Only who may write visit_streams, and says so, as the function below does, numbers events without the trigger: every
-- other row is numbered by it, as before, whatever number it comes with.
DROP TRIGGER number_event ON public.processing_events;
CREATE TRIGGER number_event BEFORE INSERT ON public.processing_events
    FOR EACH ROW WHEN (NEW.seq IS NULL OR current_setting('scopekit.numbering', true) IS DISTINCT FROM 'on'
                       OR NOT has_table_privilege('public.visit_streams'::regclass, 'UPDATE'))
    EXECUTE FUNCTION scopekit.number_event();

-- Insert an event of this type for each of these visits, in their order, with its tenant, job and payload: numbered,
-- told and locked as the trigger does it (0090). Where a visit comes twice, the trigger does it. Of more than p_whole
-- events only the numbers are told, and relays read those of the visits that somebody watches.
CREATE FUNCTION scopekit.tell_all(p_type text, p_visits uuid[], p_tenants uuid[], p_jobs uuid[], p_payloads jsonb[],
                                  p_whole integer DEFAULT 1000) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_epoch  bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_of_job CONSTANT boolean := p_type LIKE 'job.%';
    v_whole  CONSTANT boolean := cardinality(p_visits) <= p_whole;
    v_locked uuid[];
    v_seqs   bigint[];
    v_epochs bigint[];
    v_told   boolean;
    v_noted  boolean;
    v_words  text[];
BEGIN
    IF cardinality(p_visits) < 2 OR cardinality(p_visits) > (SELECT count(DISTINCT id) FROM unnest(p_visits) AS v(id)) THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
        SELECT visit_id, tenant_id, job_id, p_type, payload
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads) AS e(visit_id, tenant_id, job_id, payload);
        RETURN;
    END IF;
    IF v_epoch IS NULL THEN
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    WITH stream AS (
        INSERT INTO public.visit_streams AS s (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
        SELECT visit_id, tenant_id, 1, CASE WHEN v_of_job THEN job_id END, CASE WHEN v_of_job THEN p_type END, v_epoch
        FROM unnest(p_visits, p_tenants, p_jobs) AS e(visit_id, tenant_id, job_id)
        ON CONFLICT (visit_id) DO UPDATE SET
            last_seq  = s.last_seq + 1,
            job_id    = CASE WHEN v_of_job THEN EXCLUDED.job_id ELSE s.job_id END,
            job_event = CASE WHEN v_of_job THEN p_type ELSE s.job_event END
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
                        THEN scopekit.tear_stream(t.visit_id, v_epoch) ELSE t.seq END
            FROM unnest(p_visits, v_seqs, v_epochs) WITH ORDINALITY AS t(visit_id, seq, epoch, place)
            LEFT JOIN LATERAL (SELECT created_at FROM public.site_visits WHERE id = t.visit_id) AS v ON t.seq = 1
            ORDER BY place);
    END IF;
    PERFORM set_config('scopekit.numbering', 'on', true);  -- in a SET clause it would take a superuser
    v_told := pg_sequence_last_value('scopekit.notify_way') IS DISTINCT FROM 2;
    v_noted := pg_sequence_last_value('scopekit.bus_way') > 2;
    IF v_whole THEN
        WITH new AS (
            INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq)
            SELECT visit_id, tenant_id, job_id, p_type, payload, seq
            FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs) AS e(visit_id, tenant_id, job_id, payload, seq)
            RETURNING visit_id, seq, processing_events AS event
        )
        SELECT array_agg(scopekit.event_word(visit_id, seq, scopekit.event_document(event))) INTO v_words FROM new;
    ELSE
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq)
        SELECT visit_id, tenant_id, job_id, p_type, payload, seq
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs) AS e(visit_id, tenant_id, job_id, payload, seq);
        v_words := ARRAY(SELECT scopekit.event_word(visit_id, seq, NULL)
                         FROM unnest(p_visits, v_seqs) AS e(visit_id, seq));
    END IF;
    IF v_noted THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) SELECT * FROM unnest(p_visits, v_seqs);
    END IF;
    IF v_told THEN  -- as a part of an expression: a function in FROM keeps each answer in a file of its own
        v_told := bool_and(pg_notify('processing_events', word) IS NOT NULL) FROM unnest(v_words) AS w(word);
    END IF;
    PERFORM set_config('scopekit.numbering', '', true);
END $$;
REVOKE ALL ON FUNCTION scopekit.tell_all(text, uuid[], uuid[], uuid[], jsonb[], integer)
    FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.tell_all(text, uuid[], uuid[], uuid[], jsonb[], integer) TO service_role;

-- Otherwise as in 0060. It writes what its caller, who may only queue jobs, must not.
CREATE OR REPLACE FUNCTION scopekit.tell_enqueued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.move_visits(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    PERFORM scopekit.tell_all(
        'job.queued', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(CASE WHEN turn IS NULL
                  THEN jsonb_build_object('correlation_id', coalesce(correlation_id, id::text), 'run_at', run_at)
                  ELSE jsonb_build_object('correlation_id', coalesce(correlation_id, id::text)) END))
    FROM (SELECT * FROM enqueued WHERE status = 'queued' ORDER BY visit_id) AS job HAVING count(*) > 0;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;

-- Otherwise as in 0045; what is assigned is not a statement of its own, as with PERFORM: a third of its time.
CREATE OR REPLACE FUNCTION scopekit.take_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_lane CONSTANT text := NEW.tenant_id || '/' || NEW.priority || '/';
    v_last text := current_setting('scopekit.last_turn', true);
BEGIN
    IF NEW.run_at > now() THEN
        NEW.turn := NULL;
        RETURN NEW;
    END IF;
    NEW.turn := CASE WHEN starts_with(v_last, v_lane) THEN substr(v_last, length(v_lane) + 1)::bigint + 1
                     ELSE scopekit.next_turn(NEW.tenant_id, NEW.priority) END;
    v_last := set_config('scopekit.last_turn', v_lane || NEW.turn, true);
    RETURN NEW;
END $$;

-- Otherwise as in 0098.
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
    PERFORM scopekit.tell_all(
        'job.started', array_agg(visit_id), array_agg(tenant_id), array_agg(id),
        array_agg(jsonb_build_object('attempt', attempts, 'worker', worker,
                                     'correlation_id', coalesce(correlation_id, id::text))))
    FROM (
        WITH started AS MATERIALIZED (SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids))
        SELECT * FROM started ORDER BY visit_id
    ) AS started HAVING count(*) > 0;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Otherwise as in 0098.
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
    SELECT array_agg(f.visit_id), array_agg(f.tenant_id), array_agg(f.id),
           array_agg(f.result || jsonb_build_object('correlation_id', coalesce(f.correlation_id, f.id::text)))
    INTO v_visits, v_tenants, v_jobs, v_payloads FROM (SELECT * FROM finished ORDER BY visit_id) AS f;
    IF v_visits IS NOT NULL THEN
        PERFORM scopekit.tell_all('job.completed', v_visits, v_tenants, v_jobs, v_payloads);
    END IF;
    RETURN QUERY
        SELECT d.id, d.token,
               CASE WHEN d.token = ANY (v_held) THEN 'completed' WHEN d.token = ANY (v_cancelled) THEN 'cancelled'
                    ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid, token uuid);
END $$;
