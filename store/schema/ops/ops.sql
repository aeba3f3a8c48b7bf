-- Operators of the whole product: what they may do, the record of all they did, and what they watch.
--
-- An operator is a user with a row in `operators`. Operators are no tenant's: an administrator of one company must see
-- nothing of another. The command line acts as service_role. Every function for operators asks for itself, so that a route
-- that forgot to ask opens nothing.

-- The operators; granted and withdrawn by the command line.
CREATE TABLE public.operators (
    user_id    uuid PRIMARY KEY,
    name       text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    granted_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Every operator's action. It is read and added to, and never changed.
CREATE TABLE public.ops_audit (
    id     uuid PRIMARY KEY DEFAULT uuidv7(),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor  text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action <> ''),
    target text NOT NULL,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 1000),
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ops_audit_newest ON public.ops_audit (at DESC);

-- Running processes: each reports every few seconds, and deletes its row when it leaves. `keys` are fingerprints of the
-- secrets it uses, so that a rotation knows when the last one has the new ones.
CREATE TABLE public.processes (
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('gateway', 'worker')),
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    load       jsonb NOT NULL DEFAULT '{}',
    keys       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (name, kind)
);

-- The queue's depth over the last day.
CREATE TABLE public.queue_samples (
    at      timestamptz PRIMARY KEY DEFAULT now(),
    queued  bigint NOT NULL,
    running bigint NOT NULL,
    dead    bigint NOT NULL
);

-- Keys of services that call the gateway.
CREATE TABLE public.service_keys (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL,
    key_hash   bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);

-- Rotations of secrets: when each began and ended, by whom, and fingerprints of old and new. Never a value.
CREATE TABLE public.secret_rotations (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    name        text NOT NULL,
    old_print   text NOT NULL,
    new_print   text NOT NULL CHECK (new_print <> old_print),
    actor       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    begun_at    timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz CHECK (finished_at >= begun_at)
);
CREATE UNIQUE INDEX secret_rotations_open ON public.secret_rotations (name) WHERE finished_at IS NULL;

-- Acting --------------------------------------------------------------------------------------------------------------

-- The actor: the name the command line gives, else the user of the token, else the login.
CREATE FUNCTION scopekit.actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('scopekit.actor', true), ''),
                    'user ' || nullif(auth.jwt() ->> 'sub', ''), session_user::text)
$$;

-- Whether this user is an operator now.
CREATE FUNCTION scopekit.is_operator(p_user_id uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.operators WHERE user_id = p_user_id)
$$;

-- `role` keeps its value inside a function that runs with its owner's rights, so this sees the real caller.
CREATE FUNCTION scopekit.require_operator() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF current_setting('role') IS DISTINCT FROM 'service_role'
       AND NOT scopekit.is_operator(nullif(auth.jwt() ->> 'sub', '')::uuid) THEN
        RAISE EXCEPTION 'this is for operators' USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Begin an operator's action: a caller who is none is refused, and it is written down in the transaction that does it.
CREATE FUNCTION scopekit.begin_action(p_action text, p_target text, p_reason text, p_detail jsonb DEFAULT '{}')
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    PERFORM set_config('scopekit.reason', p_reason, true);
    INSERT INTO public.ops_audit (actor, action, target, reason, detail)
    VALUES (scopekit.actor(), p_action, p_target, p_reason, p_detail);
END $$;

-- The newest actions.
CREATE FUNCTION scopekit.audit_log(p_limit integer)
    RETURNS TABLE (at timestamptz, actor text, action text, target text, reason text, detail jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT a.at, a.actor, a.action, a.target, a.reason, a.detail
                 FROM public.ops_audit a ORDER BY a.at DESC LIMIT p_limit;
END $$;

-- Make a user an operator; false for one that is already.
CREATE FUNCTION scopekit.add_operator(p_user_id uuid, p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('operator.add', p_user_id::text, p_reason, jsonb_build_object('name', p_name));
    INSERT INTO public.operators (user_id, name, granted_by) VALUES (p_user_id, p_name, scopekit.actor())
    ON CONFLICT (user_id) DO NOTHING;
    RETURN FOUND;
END $$;

-- Withdraw it; false for one who is none.
CREATE FUNCTION scopekit.remove_operator(p_user_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('operator.remove', p_user_id::text, p_reason);
    DELETE FROM public.operators WHERE user_id = p_user_id;
    RETURN FOUND;
END $$;

-- Pause the queue, until a time or for good.
CREATE FUNCTION scopekit.operator_pause(p_name text, p_reason text, p_until timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.pause', p_name, p_reason, jsonb_build_object('until', p_until));
    PERFORM scopekit.pause_queue(p_name, p_reason, p_until);
END $$;

-- Resume it.
CREATE FUNCTION scopekit.operator_resume(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.resume', p_name, p_reason);
    RETURN scopekit.resume_queue(p_name);
END $$;

-- Pause for good. A pause that would end by itself is kept for the release; one for good stays as it is.
CREATE FUNCTION scopekit.operator_hold(p_name text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.pause', p_name, p_reason, jsonb_build_object('until', NULL));
    INSERT INTO public.queue_control AS c (name, paused, reason) VALUES (p_name, true, p_reason)
    ON CONFLICT (name) DO UPDATE
        SET paused = true, reason = excluded.reason, until = NULL, updated_at = now(),
            held_reason = CASE WHEN c.paused AND c.until > now() THEN c.reason END,
            held_until = CASE WHEN c.paused AND c.until > now() THEN c.until END
        WHERE NOT c.paused OR c.until IS NOT NULL;
END $$;

-- End a hold. Returns whether a pause that was kept goes on.
CREATE FUNCTION scopekit.operator_release(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.begin_action('queue.resume', p_name, p_reason);
    UPDATE public.queue_control
    SET reason = held_reason, until = held_until, held_reason = NULL, held_until = NULL, updated_at = now()
    WHERE name = p_name AND held_until > now();
    IF NOT FOUND THEN
        PERFORM scopekit.resume_queue(p_name);
        RETURN false;
    END IF;
    RETURN true;
END $$;

-- Revoke any tenant's share; false for one that is not there. A second call finds it done, and is not in the audit log.
-- Its own tenant revokes by the route.
CREATE FUNCTION scopekit.operator_revoke_share(p_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    UPDATE public.shares SET revoked_at = now() WHERE id = p_id AND revoked_at IS NULL;
    IF FOUND THEN
        PERFORM scopekit.begin_action('share.revoke', p_id::text, p_reason);
    END IF;
    RETURN EXISTS (SELECT 1 FROM public.shares WHERE id = p_id);
END $$;

-- Processes -----------------------------------------------------------------------------------------------------------

-- Say that a process is alive. Those silent for a day go.
CREATE FUNCTION scopekit.report_process(p_name text, p_kind text, p_load jsonb, p_keys jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.processes AS p (name, kind, load, keys) VALUES (p_name, p_kind, p_load, p_keys)
    ON CONFLICT (name, kind) DO UPDATE SET seen_at = now(), load = excluded.load, keys = excluded.keys;
    DELETE FROM public.processes WHERE seen_at < now() - interval '1 day';
END $$;

-- Take a process off the list as it leaves.
CREATE FUNCTION scopekit.unregister_process(p_name text, p_kind text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.processes WHERE name = p_name AND kind = p_kind
$$;

-- Those seen within p_within; the others have died without a word.
CREATE FUNCTION scopekit.live_processes(p_within interval)
    RETURNS TABLE (name text, kind text, started_at timestamptz, seen_at timestamptz, load jsonb, keys jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT p.name, p.kind, p.started_at, p.seen_at, p.load, p.keys
                 FROM public.processes p WHERE p.seen_at > now() - p_within ORDER BY p.kind, p.started_at, p.name;
END $$;

-- Numbers -------------------------------------------------------------------------------------------------------------

-- How long the oldest job that may start has waited, in seconds. Jobs whose time is yet to come wait on purpose, as they
-- do while their flag is off, and do not count.
CREATE FUNCTION scopekit.queue_overdue() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(run_at)), 0), 0)
    FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now()
$$;

-- Three numbers for the health check, across tenants: no row. What is for later, or held by a flag, is no backlog.
CREATE FUNCTION scopekit.queue_health(OUT depth bigint, OUT last_job_success timestamptz, OUT overdue double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT (SELECT count(*) FROM public.ai_jobs WHERE status = 'queued' AND run_at <= now()),
           (SELECT max(finished_at) FROM public.ai_jobs WHERE status = 'completed'),
           scopekit.queue_overdue()
$$;

-- Numbers by state, across tenants, for an operator's graphs: no row. Each state is counted through an index that holds
-- this state alone; finished jobs, of which there is no end, are not counted.
CREATE FUNCTION scopekit.queue_depths()
    RETURNS TABLE (status text, depth bigint, oldest_seconds double precision, average_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.status, s.depth, coalesce(greatest(extract(epoch FROM clock_timestamp() - s.oldest), 0), 0),
           coalesce(greatest(extract(epoch FROM clock_timestamp()) - s.average, 0), 0)
    FROM (
        SELECT 'queued' AS status, count(*) AS depth, min(j.created_at) AS oldest,
               avg(extract(epoch FROM j.created_at)) AS average
        FROM public.ai_jobs j WHERE j.status = 'queued'
        UNION ALL
        SELECT 'running', count(*), min(j.started_at), avg(extract(epoch FROM j.started_at))
        FROM public.ai_jobs j WHERE j.status = 'running'
        UNION ALL
        SELECT 'dead', count(*), min(d.moved_at), avg(extract(epoch FROM d.moved_at))
        FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL
    ) AS s
$$;

-- The jobs of each kind that are not over: due and waiting, for later, running, and dead letters that wait.
CREATE FUNCTION scopekit.queue_kinds()
    RETURNS TABLE (job_type text, waiting bigint, later bigint, running bigint, dead bigint, oldest_seconds double precision,
                   paused boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH active AS (
        SELECT j.job_type, count(*) FILTER (WHERE j.status = 'queued' AND j.run_at <= now()) AS waiting,
               count(*) FILTER (WHERE j.status = 'queued' AND j.run_at > now()) AS later,
               count(*) FILTER (WHERE j.status = 'running') AS running,
               min(j.run_at) FILTER (WHERE j.status = 'queued' AND j.run_at <= now()) AS oldest
        FROM public.jobs AS j WHERE j.status IN ('queued', 'running') GROUP BY 1
    ), letters AS (
        SELECT d.job_type, count(*) AS dead FROM public.jobs_dlq AS d WHERE d.retried_at IS NULL GROUP BY 1
    ), names AS (
        SELECT name FROM public.job_kinds UNION SELECT a.job_type FROM active AS a UNION SELECT l.job_type FROM letters AS l
    )
    SELECT n.name, coalesce(a.waiting, 0), coalesce(a.later, 0), coalesce(a.running, 0), coalesce(l.dead, 0),
           coalesce(extract(epoch FROM clock_timestamp() - a.oldest), 0)::double precision,
           scopekit.paused_types() && ARRAY['all', n.name]
    FROM names AS n LEFT JOIN active AS a ON a.job_type = n.name LEFT JOIN letters AS l ON l.job_type = n.name
    ORDER BY a.waiting DESC NULLS LAST, a.running DESC NULLS LAST, n.name
$$;

-- Keep the depth of this moment; those of a day ago go.
CREATE FUNCTION scopekit.sample_queue() RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.queue_samples (queued, running, dead)
    SELECT sum(depth) FILTER (WHERE status = 'queued'), sum(depth) FILTER (WHERE status = 'running'),
           sum(depth) FILTER (WHERE status = 'dead')
    FROM scopekit.queue_depths()
    ON CONFLICT (at) DO NOTHING;
    DELETE FROM public.queue_samples WHERE at < now() - interval '1 day'
$$;

-- The depth over time.
CREATE FUNCTION scopekit.queue_history(p_back interval)
    RETURNS TABLE (at timestamptz, queued bigint, running bigint, dead bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.at, s.queued, s.running, s.dead FROM public.queue_samples s WHERE s.at > now() - p_back ORDER BY s.at
$$;

-- Jobs completed in each minute of the last hour in which there were any, and how long they took.
CREATE FUNCTION scopekit.queue_minutes()
    RETURNS TABLE (minute timestamptz, completed bigint, p50_seconds double precision, p95_seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT date_trunc('minute', finished_at), count(*),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
    FROM public.ai_jobs WHERE status = 'completed' AND finished_at > now() - interval '1 hour'
    GROUP BY 1 ORDER BY 1
$$;

-- What each tenant has used. Each number is counted by itself: joined, they would multiply one another.
CREATE FUNCTION scopekit.tenant_usage()
    RETURNS TABLE (tenant_id uuid, name text, visits_today bigint, estimates_today bigint, total_mb numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id, t.name,
           (SELECT count(*) FROM public.site_visits v
            WHERE v.tenant_id = t.id AND v.created_at >= date_trunc('day', now())),
           (SELECT count(*) FROM public.estimates e
            WHERE e.tenant_id = t.id AND e.created_at >= date_trunc('day', now())),
           round(coalesce(s.bytes, 0) / 1048576.0, 2)
    FROM public.tenants t LEFT JOIN public.tenant_storage s ON s.tenant_id = t.id ORDER BY t.name, t.id
$$;
