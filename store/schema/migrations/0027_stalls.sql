-- Streams tell of jobs that stand still, and job_statuses does.

-- The stalls that were told, so that each is told once, whichever gateway sees it first.
CREATE TABLE public.job_stalls (
    job_id   uuid PRIMARY KEY,
    visit_id uuid NOT NULL,
    reason   text NOT NULL CHECK (reason IN ('no_worker', 'paused', 'worker_silent')),
    since    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Whether a worker has reported lately; with a name, that worker. They report every three seconds.
CREATE FUNCTION scopekit.worker_seen(p_name text DEFAULT NULL) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.processes WHERE kind = 'worker' AND (p_name IS NULL OR name = p_name)
                   AND seen_at > clock_timestamp() - interval '7 s')
        OR pg_postmaster_start_time() > clock_timestamp() - interval '7 s'  -- none could report
$$;

-- Why a job that ends its visit's stream does not move: no_worker, paused or worker_silent; null while it does.
CREATE FUNCTION scopekit.stall_reason(p_job public.jobs) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT p_job.ends_stream THEN
        RETURN NULL;
    ELSIF p_job.status = 'running' THEN
        RETURN CASE WHEN p_job.started_at < clock_timestamp() - interval '7 s' AND NOT scopekit.worker_seen(p_job.worker)
                    THEN 'worker_silent' END;
    ELSIF p_job.status <> 'queued' OR p_job.run_at > clock_timestamp() - interval '5 s' THEN
        RETURN NULL;
    ELSIF EXISTS (SELECT FROM unnest(scopekit.paused_types()) AS p(name)
                  WHERE name IN ('all', p_job.job_type) OR name LIKE 'engine:%' AND p_job.job_type = 'estimate') THEN
        RETURN 'paused';
    END IF;
    RETURN CASE WHEN NOT scopekit.worker_seen() THEN 'no_worker' END;
END $$;

-- What a job looks like from outside, wherever its row is; each reader sees what RLS lets it see.
CREATE OR REPLACE VIEW scopekit.job_statuses WITH (security_invoker = true) AS
SELECT id, tenant_id, visit_id, job_type, status, attempts, coalesce(max_attempts, 3) AS max_attempts,
       CASE status WHEN 'queued' THEN scopekit.queue_position(id) END AS position,
       run_at, created_at, started_at, finished_at, last_error, error_code, result,
       cancel_requested_at IS NOT NULL AS cancel_requested, idempotency_key,
       extract(epoch FROM run_at - now())::double precision AS due_in_s,
       CASE WHEN status IN ('queued', 'running') THEN scopekit.stall_reason(jobs) END AS stalled
FROM public.jobs
UNION ALL
SELECT original_job_id, tenant_id, visit_id, job_type, 'failed', attempts,
       coalesce((job ->> 'max_attempts')::integer, 3), NULL,
       coalesce((job ->> 'run_at')::timestamptz, moved_at), coalesce((job ->> 'created_at')::timestamptz, moved_at),
       (job ->> 'started_at')::timestamptz, moved_at, last_error, error_code, NULL,
       job ->> 'cancel_requested_at' IS NOT NULL, job ->> 'idempotency_key', NULL, NULL
FROM public.jobs_dlq WHERE retried_at IS NULL OR discarded_at IS NOT NULL;

-- Whether any job may have a stall, or one that was told may be over: cheap, and nearly always false.
CREATE FUNCTION scopekit.may_be_stalled() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT scopekit.worker_seen() OR cardinality(scopekit.paused_types()) > 0 OR EXISTS (SELECT FROM public.job_stalls)
        OR EXISTS (SELECT FROM public.jobs AS j WHERE j.status = 'running' AND scopekit.stall_reason(j) IS NOT NULL)
$$;

-- Tell the streams of these visits, and of those that were told of a stall, what has changed. A visit that a transaction
-- elsewhere holds is left to the next look. With the stream locked the job is read again: nothing is told of one that has
-- ended meanwhile. Returns how many were told.
CREATE FUNCTION scopekit.report_stalls(p_visits uuid[]) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_told  integer := 0;
    v_found record;
    v_job   public.jobs;
    v_now   text;
BEGIN
    DELETE FROM public.job_stalls AS s
    WHERE NOT EXISTS (SELECT FROM public.jobs AS j WHERE j.id = s.job_id AND j.status IN ('queued', 'running'));
    FOR v_found IN
        SELECT j.id, j.visit_id FROM public.jobs AS j LEFT JOIN public.job_stalls AS s ON s.job_id = j.id
        WHERE j.visit_id = ANY (p_visits || ARRAY(SELECT visit_id FROM public.job_stalls))
          AND j.ends_stream AND j.status IN ('queued', 'running')
          AND scopekit.stall_reason(j) IS DISTINCT FROM s.reason
        ORDER BY j.visit_id
    LOOP
        CONTINUE WHEN cardinality(scopekit.held_elsewhere(ARRAY[v_found.visit_id], '{}')) > 0;
        SELECT * INTO v_job FROM public.jobs WHERE id = v_found.id AND status IN ('queued', 'running');
        CONTINUE WHEN NOT FOUND;
        v_now := scopekit.stall_reason(v_job);
        IF v_now IS NULL THEN
            DELETE FROM public.job_stalls WHERE job_id = v_job.id;
        ELSE
            INSERT INTO public.job_stalls AS s (job_id, visit_id, reason) VALUES (v_job.id, v_job.visit_id, v_now)
            ON CONFLICT (job_id) DO UPDATE SET reason = excluded.reason WHERE s.reason <> excluded.reason;
        END IF;
        IF FOUND THEN
            PERFORM scopekit.append_event(v_job, 'job.stalled', jsonb_build_object('reason', v_now));
            v_told := v_told + 1;
        END IF;
    END LOOP;
    RETURN v_told;
END $$;

ALTER TABLE public.job_stalls ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.job_stalls FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.job_stalls TO service_role;
REVOKE ALL ON FUNCTION scopekit.worker_seen(text), scopekit.stall_reason(public.jobs), scopekit.may_be_stalled(),
    scopekit.report_stalls(uuid[]) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.worker_seen(text), scopekit.stall_reason(public.jobs), scopekit.may_be_stalled(),
    scopekit.report_stalls(uuid[]) TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.stall_reason(public.jobs) TO authenticated;
GRANT EXECUTE ON FUNCTION scopekit.may_be_stalled(), scopekit.report_stalls(uuid[]) TO scopekit_gateway;
