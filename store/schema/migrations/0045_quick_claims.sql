-- What a claim and an INSERT cost, on a million finished and a hundred thousand queued jobs.

-- plpgsql weighs each time whether a plan for just these values would be better, and for arrays and limits decides so:
-- of the 1.0 ms of a claim 0.4 ms were planning. What these functions look for has one good plan whatever the values.
ALTER FUNCTION scopekit.complete_jobs(jsonb) SET plan_cache_mode = force_generic_plan;

-- Start up to p_limit due jobs: priority, then turn (fairness between tenants), then age; of a tenant no more than its
-- cap allows. p_engine is who makes this worker's estimates: while its breaker is open none is claimed, and one at a
-- time while it is half open. With p_everywhere false it looks only from the turn now served on, and may miss a job
-- whose transaction was open while others were served; whoever asks like that asks everywhere every second or two.
--
-- The commit does not wait for its flush. A crash of the server may take the claim back, and with it the token: the job
-- is queued as it was, its worker's writes change nothing, and the next claim gives the same attempt its number again.
-- Whatever is written under the token reaches the disk after the claim, because WAL has one order; so no result, retry
-- or dead letter outlives its claim.
CREATE OR REPLACE FUNCTION public.claim_ai_jobs(p_limit integer, p_worker text DEFAULT 'unknown',
                                                p_lease interval DEFAULT interval '60 s', p_cap integer DEFAULT NULL,
                                                p_everywhere boolean DEFAULT true, p_engine text DEFAULT NULL)
    RETURNS SETOF public.ai_jobs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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
    SELECT visit_id, tenant_id, id, 'job.started', jsonb_build_object('attempt', attempts, 'worker', worker)
    FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY visit_id;
    RETURN QUERY SELECT * FROM public.ai_jobs WHERE id = ANY (v_ids) ORDER BY priority DESC, turn, id;
END $$;

-- The last turn given stands in a setting of the transaction: looked up for each row of a large INSERT it was 15 of the
-- 57 us that the row takes. A transaction that goes on for long gives turns that have been served by then, and those
-- are found by the look everywhere.
CREATE OR REPLACE FUNCTION scopekit.take_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_lane CONSTANT text := NEW.tenant_id || '/' || NEW.priority || '/';
    v_last CONSTANT text := current_setting('scopekit.last_turn', true);
BEGIN
    IF NEW.run_at > now() THEN
        NEW.turn := NULL;
        RETURN NEW;
    END IF;
    NEW.turn := CASE WHEN starts_with(v_last, v_lane) THEN substr(v_last, length(v_lane) + 1)::bigint + 1
                     ELSE scopekit.next_turn(NEW.tenant_id, NEW.priority) END;
    PERFORM set_config('scopekit.last_turn', v_lane || NEW.turn, true);
    RETURN NEW;
END $$;
