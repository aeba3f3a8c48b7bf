-- The line: who is next, found in the same time whatever lies before, behind or dead in between.
--
-- A queued job stands in line when it has a turn; without one its time has not come yet (a retry that waits, a job for
-- later), so that nobody steps over it at every claim. When it is due it joins the line like a new one.

ALTER TABLE public.ai_jobs ALTER COLUMN turn DROP NOT NULL, ALTER COLUMN turn DROP DEFAULT;

DROP INDEX public.ai_jobs_claimable, public.ai_jobs_turns, public.ai_jobs_leases;
-- By an expression, so that no planner takes this index for the question of ai_jobs_turns and steps over all tenants.
CREATE INDEX ai_jobs_in_line ON public.ai_jobs ((-priority::integer), turn, id)
    WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX ai_jobs_turns ON public.ai_jobs (tenant_id, priority, turn) WHERE status = 'queued' AND turn IS NOT NULL;
CREATE INDEX ai_jobs_later ON public.ai_jobs (run_at) WHERE status = 'queued' AND turn IS NULL;
-- Not by expiry: what runs is little enough to look through, and a renewal then touches no index (a HOT update).
CREATE INDEX ai_jobs_running ON public.ai_jobs (tenant_id) WHERE status = 'running';

-- Every job leaves two dead versions behind, and the default of 20 % would let them pile up to a fifth of all jobs ever.
ALTER TABLE public.ai_jobs SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01,
                                autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE public.visit_streams SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- How many jobs of one tenant may run at once; null: what the worker's TENANT_CONCURRENCY says.
ALTER TABLE public.tenant_settings ADD COLUMN max_running_jobs integer CHECK (max_running_jobs >= 1);
CREATE INDEX tenant_settings_capped ON public.tenant_settings (tenant_id) WHERE max_running_jobs IS NOT NULL;

-- The turn now served, of jobs of ordinary priority (0). A hint, and therefore a sequence: it is written in place, while
-- a row rewritten at every claim would leave dead versions that an old transaction elsewhere keeps everybody stepping
-- over; the same transaction keeps the claimed jobs in the index, and this is from where a claim need not see them.
CREATE SEQUENCE scopekit.turn_served AS bigint MINVALUE 0 START 0;

CREATE FUNCTION scopekit.front(p_priority smallint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_priority = 0 THEN
        RETURN (SELECT last_value FROM scopekit.turn_served);
    END IF;
    RETURN coalesce((SELECT turn FROM public.ai_jobs
                     WHERE status = 'queued' AND turn IS NOT NULL AND -priority::integer = -p_priority::integer
                     ORDER BY turn LIMIT 1), 0);
END $$;

-- Let the front go on to a turn; never back.
CREATE FUNCTION scopekit.serve(p_turn bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_turn > (SELECT last_value FROM scopekit.turn_served) THEN
        PERFORM setval('scopekit.turn_served', p_turn);
    END IF;
END $$;

-- One after the tenant's last waiting job, but never before the turn now served. Volatile, to see the rows that the same
-- INSERT has made before this one. Planned for its one index whatever the statistics say: with those of an empty queue
-- it would be a sequential scan for every row of a large INSERT.
CREATE FUNCTION scopekit.next_turn(p_tenant_id uuid, p_priority smallint) RETURNS bigint LANGUAGE plpgsql
    SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_front bigint := scopekit.front(p_priority);
BEGIN
    RETURN greatest(v_front, (
        SELECT turn + 1 FROM public.ai_jobs
        WHERE status = 'queued' AND tenant_id = p_tenant_id AND priority = p_priority AND turn >= v_front
        ORDER BY turn DESC LIMIT 1));
END $$;

CREATE OR REPLACE FUNCTION scopekit.take_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    NEW.turn := CASE WHEN NEW.run_at <= now() THEN scopekit.next_turn(NEW.tenant_id, NEW.priority) END;
    RETURN NEW;
END $$;

-- Only for a row that needs it: 3 us of each insert.
DROP TRIGGER fill_tenant ON public.ai_jobs;
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.ai_jobs FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();
DROP TRIGGER fill_tenant ON public.processing_events;
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.processing_events FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Visits of estimates say how far these are; locked in the order of their ids, as all that lock several do.
CREATE FUNCTION scopekit.move_visits(p_visits uuid[], p_status text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_visits IS NULL THEN
        RETURN;
    END IF;
    PERFORM FROM public.site_visits WHERE id = ANY (p_visits) ORDER BY id FOR NO KEY UPDATE;
    UPDATE public.site_visits SET status = p_status, updated_at = now() WHERE id = ANY (p_visits);
END $$;

-- Whoever enqueues, with whatever INSERT, one job or ten thousand: the visits' subscribers hear of it, and so do workers.
DROP TRIGGER tell_enqueued ON public.ai_jobs;
CREATE OR REPLACE FUNCTION scopekit.tell_enqueued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM scopekit.move_visits(array_agg(visit_id), 'finalizing') FROM enqueued
    WHERE status = 'queued' AND job_type = 'estimate';
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type)
    SELECT visit_id, tenant_id, id, 'job.queued' FROM enqueued WHERE status = 'queued' ORDER BY visit_id;
    PERFORM pg_notify('scopekit_queue', '') WHERE EXISTS (SELECT FROM enqueued WHERE turn IS NOT NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_enqueued AFTER INSERT ON public.ai_jobs REFERENCING NEW TABLE AS enqueued
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.tell_enqueued();

-- Let up to p_limit jobs whose time has come join the line; returns how many did.
CREATE FUNCTION scopekit.line_up(p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    WITH due AS MATERIALIZED (
        SELECT id, tenant_id, priority, run_at FROM public.ai_jobs
        WHERE status = 'queued' AND turn IS NULL AND run_at <= now()
        ORDER BY run_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), ends AS MATERIALIZED (
        SELECT tenant_id, priority, scopekit.next_turn(tenant_id, priority) AS turn FROM due GROUP BY 1, 2
    ), placed AS (
        SELECT due.id, ends.turn - 1 + row_number() OVER (
                   PARTITION BY tenant_id, priority ORDER BY due.run_at, due.id) AS turn
        FROM due JOIN ends USING (tenant_id, priority)
    )
    UPDATE public.ai_jobs AS j SET turn = placed.turn FROM placed WHERE j.id = placed.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

CREATE OR REPLACE FUNCTION scopekit.to_queue(p_job public.ai_jobs, p_attempts integer, p_delay interval)
    RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_run_at timestamptz := now() + p_delay;
BEGIN
    UPDATE public.ai_jobs
    SET status = 'queued', attempts = greatest(p_attempts, 0), run_at = v_run_at, last_error = p_job.last_error,
        error_code = p_job.error_code, lost_leases = p_job.lost_leases, lease_token = NULL, lease_expires_at = NULL,
        turn = CASE WHEN p_delay <= interval '0' THEN scopekit.front(p_job.priority) END
    WHERE id = p_job.id;
    RETURN v_run_at;
END $$;

-- Claiming -----------------------------------------------------------------------------------------------------------

-- The cap: at every commit a tenant has at most as many jobs running as its cap allows. Only a claim raises that number,
-- so capped claims are made one after the other (an advisory lock held to commit; each then sees what the last one took),
-- and none takes more than what is left. Everything else only lowers it.
CREATE FUNCTION scopekit.is_capped(p_cap integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_cap IS NOT NULL OR EXISTS (SELECT FROM public.tenant_settings WHERE max_running_jobs IS NOT NULL)
$$;

-- How many more jobs of a tenant may start.
CREATE FUNCTION scopekit.room(p_tenant_id uuid, p_cap integer) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT max_running_jobs FROM public.tenant_settings WHERE tenant_id = p_tenant_id), p_cap)
           - (SELECT count(*) FROM public.ai_jobs WHERE status = 'running' AND tenant_id = p_tenant_id);
END $$;

-- Lock the next up to p_limit jobs in line, from a turn on where the priority is the ordinary one.
-- Planned for this one index whatever the statistics say: taken while the queue was empty, they would have the planner
-- sort a hundred thousand jobs at every claim.
CREATE FUNCTION scopekit.next_in_line(p_limit integer, p_from bigint, p_paused text[], p_full uuid[])
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
            SELECT j.id, j.tenant_id, j.priority, j.turn FROM public.ai_jobs AS j
            WHERE j.status = 'queued' AND -j.priority::integer BETWEEN v_lane.column1 AND v_lane.column2
              AND j.turn >= v_lane.column3 AND j.run_at <= now()
              AND j.job_type <> ALL (p_paused) AND j.tenant_id <> ALL (p_full)
            ORDER BY -j.priority::integer, j.turn, j.id LIMIT v_left FOR UPDATE SKIP LOCKED;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_left := v_left - v_rows;
    END LOOP;
END $$;

-- Start up to p_limit of the next in line, of each tenant as many as it has room for. `full_tenants` are those that had
-- none left for a job seen here; `first` and `last` are the turns seen at ordinary priority.
CREATE FUNCTION scopekit.start_next(p_limit integer, p_from bigint, p_resting text[], p_full uuid[],
                                    p_capped boolean, p_cap integer, p_worker text, p_lease interval,
                                    OUT ids uuid[], OUT full_tenants uuid[], OUT first bigint, OUT last bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(array_agg(f.id) FILTER (WHERE f.nth <= f.room), '{}'),
           coalesce(array_agg(DISTINCT f.tenant_id) FILTER (WHERE f.nth > f.room), '{}'),
           min(f.turn) FILTER (WHERE f.priority = 0), max(f.turn) FILTER (WHERE f.priority = 0)
    INTO ids, full_tenants, first, last FROM (
        SELECT n.*, row_number() OVER (PARTITION BY n.tenant_id ORDER BY n.priority DESC, n.turn, n.id) AS nth,
               CASE WHEN p_capped THEN coalesce(scopekit.room(n.tenant_id, p_cap), p_limit) ELSE p_limit END AS room
        FROM scopekit.next_in_line(p_limit, p_from, p_resting, p_full) AS n
    ) AS f;
    UPDATE public.ai_jobs
    SET status = 'running', attempts = attempts + 1, lease_token = gen_random_uuid(),
        lease_expires_at = now() + p_lease, worker = p_worker, started_at = now()
    WHERE id = ANY (ids);
END $$;

-- Start up to p_limit due jobs: priority, then turn (fairness between tenants), then age; of a tenant no more than its
-- cap allows. p_engine is who makes this worker's estimates: while its breaker is open none is claimed, and one at a
-- time while it is half open. With p_everywhere false it looks only from the turn now served on, and may miss a job whose transaction
-- was open while others were served; whoever asks like that asks everywhere every second or two as well.
DROP FUNCTION public.claim_ai_jobs(integer, text, interval);
CREATE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                     p_lease interval DEFAULT interval '60 s', p_cap integer DEFAULT NULL,
                                     p_everywhere boolean DEFAULT true, p_engine text DEFAULT NULL)
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql AS $$
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
    SELECT visit_id, tenant_id, id, 'job.started', jsonb_build_object('attempt', attempts, 'worker', worker)
    FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY visit_id;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- Finishing ----------------------------------------------------------------------------------------------------------

-- Complete many jobs, [{id, token, result, analytics}, ...], each by its own token and all in one commit; `analytics`
-- is null or {event, properties}. Answers for each: completed, cancelled (somebody asked first; left as it is) or lost.
CREATE FUNCTION scopekit.complete_jobs(p_done jsonb) RETURNS TABLE (job_id uuid, answer text) LANGUAGE plpgsql AS $$
DECLARE
    v_held      uuid[];
    v_cancelled uuid[];
    v_estimates uuid[];
BEGIN
    SELECT array_agg(l.id) FILTER (WHERE l.cancel_requested_at IS NULL),
           array_agg(l.id) FILTER (WHERE l.cancel_requested_at IS NOT NULL),
           array_agg(l.visit_id) FILTER (WHERE l.cancel_requested_at IS NULL AND l.job_type = 'estimate')
    INTO v_held, v_cancelled, v_estimates FROM (
        SELECT j.id, j.cancel_requested_at, j.visit_id, j.job_type FROM public.ai_jobs AS j
        JOIN jsonb_to_recordset(p_done) AS d(id uuid, token uuid) ON j.id = d.id AND j.lease_token = d.token
        ORDER BY j.id FOR UPDATE OF j) AS l;
    DELETE FROM public.job_steps AS s WHERE s.job_id = ANY (v_held);
    PERFORM scopekit.move_visits(v_estimates, 'completed');
    WITH finished AS (
        UPDATE public.ai_jobs AS j
        SET status = 'completed', result = d.result, finished_at = clock_timestamp(), last_error = NULL,
            error_code = NULL, lease_token = NULL, lease_expires_at = NULL
        FROM jsonb_to_recordset(p_done) AS d(id uuid, result jsonb, analytics jsonb)
        WHERE j.id = d.id AND j.id = ANY (v_held)
        RETURNING j.*, d.analytics
    ), counted AS (
        INSERT INTO public.analytics_events (event, properties, tenant_id, user_id)
        SELECT f.analytics ->> 'event', coalesce(f.analytics -> 'properties', '{}'), f.tenant_id, f.created_by
        FROM finished AS f WHERE f.analytics ->> 'event' IS NOT NULL
    )
    INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
    SELECT f.visit_id, f.tenant_id, f.id, 'job.completed', f.result FROM finished AS f ORDER BY f.visit_id;
    RETURN QUERY
        SELECT d.id, CASE WHEN d.id = ANY (v_held) THEN 'completed' WHEN d.id = ANY (v_cancelled) THEN 'cancelled'
                          ELSE 'lost' END
        FROM jsonb_to_recordset(p_done) AS d(id uuid);
END $$;

CREATE OR REPLACE FUNCTION scopekit.complete_job(p_job_id uuid, p_token uuid, p_result jsonb, p_analytics jsonb)
    RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT answer = 'completed' FROM scopekit.complete_jobs(jsonb_build_array(jsonb_build_object(
        'id', p_job_id, 'token', p_token, 'result', p_result, 'analytics', p_analytics))));
END $$;

-- Sweeping, looking --------------------------------------------------------------------------------------------------

-- Free up to p_limit expired leases, let as many due jobs join the line, and count what waits for somebody.
CREATE OR REPLACE FUNCTION scopekit.sweep(p_limit integer DEFAULT 100)
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
    PERFORM scopekit.line_up(p_limit);
    SELECT count(*) INTO due FROM (
        SELECT 1 FROM public.ai_jobs WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
        LIMIT 100) AS waiting;
    RETURN NEXT;
END $$;

-- 1 for the next in line; counts to 1000. Null when it is not in line, or is not this tenant's.
CREATE OR REPLACE FUNCTION scopekit.queue_position(p_job_id uuid) RETURNS integer LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_job public.ai_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ai_jobs
    WHERE id = p_job_id AND tenant_id = public.current_tenant_id() AND status = 'queued' AND turn IS NOT NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN 1 + (SELECT count(*) FROM (
        SELECT 1 FROM public.ai_jobs
        WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now() AND id <> p_job_id
          AND (-priority::integer, turn, id) < (-v_job.priority::integer, v_job.turn, v_job.id)
        ORDER BY -priority::integer, turn, id LIMIT 999) AS ahead);
END $$;

-- The next in line, and behind them whose time has come since the last claim.
CREATE OR REPLACE FUNCTION scopekit.due_jobs(p_limit integer) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT next.id FROM (
        (SELECT id, 0 AS later, row_number() OVER (ORDER BY -priority::integer, turn, id) AS place FROM public.ai_jobs
         WHERE status = 'queued' AND turn IS NOT NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY -priority::integer, turn, id LIMIT p_limit)
        UNION ALL
        (SELECT id, 1, row_number() OVER (ORDER BY run_at) FROM public.ai_jobs
         WHERE status = 'queued' AND turn IS NULL AND run_at <= now()
           AND job_type <> ALL (scopekit.paused_types()) AND 'all' <> ALL (scopekit.paused_types())
         ORDER BY run_at LIMIT p_limit)
    ) AS next ORDER BY next.later, next.place LIMIT p_limit
$$;

-- Rights -------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.front(smallint)',                                         'service_role'),
            ('scopekit.serve(bigint)',                                           'service_role'),
            ('scopekit.next_turn(uuid, smallint)',                               'service_role'),
            ('scopekit.line_up(integer)',                                        'service_role'),
            ('scopekit.move_visits(uuid[], text)',                               'authenticated, service_role'),
            ('scopekit.is_capped(integer)',                                      'service_role'),
            ('scopekit.room(uuid, integer)',                                     'service_role'),
            ('scopekit.next_in_line(integer, bigint, text[], uuid[])',           'service_role'),
            ('scopekit.start_next(integer, bigint, text[], uuid[], boolean, integer, text, interval)', 'service_role'),
            ('public.claim_ai_jobs(integer, text, interval, integer, boolean, text)',  'service_role'),
            ('scopekit.complete_jobs(jsonb)',                                    'service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
REVOKE ALL ON SEQUENCE scopekit.turn_served FROM PUBLIC;
GRANT SELECT, UPDATE ON SEQUENCE scopekit.turn_served TO service_role;
REVOKE EXECUTE ON FUNCTION scopekit.move_visit(public.ai_jobs, text) FROM authenticated;
