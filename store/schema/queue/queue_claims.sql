-- The line: which job is next, found in the same time whatever lies before, behind or dead in between.
--
-- Fairness between tenants is start-time fair queueing without state: a job's turn is one after its tenant's last waiting
-- job, but never before the turn now being served. Ten thousand jobs of one tenant stand one behind the other; the first
-- job of any other stands beside the front.
--
-- Plans are kept for a session's life, and a worker that waits makes them before there is a job: for an empty table that
-- is a scan of all of it, until the first ANALYZE. Every claim then read the whole table, 19 ms at 15,000 jobs. So each
-- statement names the ids it wants (`id = ANY (...)`), and none may scan. plpgsql also weighs each time whether a plan for
-- just these values would be better: of the 1.0 ms of a claim 0.4 ms were planning. What these functions look for has one
-- good plan whatever the values (force_generic_plan).

-- The turn now served, of jobs of ordinary priority (0). A hint, and therefore a sequence: it is written in place, while
-- a row rewritten at every claim would leave dead versions that an old transaction elsewhere keeps everybody stepping
-- over; the same transaction keeps the claimed jobs in the index, and this is from where a claim need not see them.
CREATE SEQUENCE scopekit.turn_served AS bigint MINVALUE 0 START 0;

-- Turns ---------------------------------------------------------------------------------------------------------------

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

-- Let the front go on to a turn; never back.
CREATE FUNCTION scopekit.advance_turn(p_turn bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_turn > (SELECT last_value FROM scopekit.turn_served) THEN
        PERFORM setval('scopekit.turn_served', p_turn);
    END IF;
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
CREATE FUNCTION scopekit.set_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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

CREATE TRIGGER set_turn BEFORE INSERT ON public.jobs FOR EACH ROW WHEN (NEW.status = 'queued')
    EXECUTE FUNCTION scopekit.set_turn();

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

-- Claiming ------------------------------------------------------------------------------------------------------------

-- The cap: at every commit a tenant has at most as many jobs of the lane `ai` running as its cap allows. Only a claim
-- raises that number,
-- so capped claims are made one after the other (an advisory lock held to commit; each then sees what the last one took),
-- and none takes more than what is left. Everything else only lowers it.
CREATE FUNCTION scopekit.has_tenant_caps(p_cap integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_cap IS NOT NULL OR EXISTS (SELECT FROM public.tenant_settings WHERE max_running_jobs IS NOT NULL)
$$;

-- How many more jobs of a tenant may start.
CREATE FUNCTION scopekit.free_slots(p_tenant_id uuid, p_cap integer) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT max_running_jobs FROM public.tenant_settings WHERE tenant_id = p_tenant_id), p_cap)
           - (SELECT count(*) FROM public.jobs WHERE status = 'running' AND lane = 'ai' AND tenant_id = p_tenant_id);
END $$;

-- How many jobs may be claimed at a time as far as this engine goes: null any number, 0 no estimate, 1 the probe.
CREATE FUNCTION scopekit.engine_slots(p_engine text) RETURNS integer LANGUAGE plpgsql STABLE AS $$
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
CREATE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
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
CREATE FUNCTION scopekit.claim_background_jobs(p_lanes text[], p_limits integer[], p_worker text, p_lease interval)
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
