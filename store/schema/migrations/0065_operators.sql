-- Operators of the whole product: who is one, what they may do, and the record of all they did.
--
-- An operator is known by `app_metadata.platform_role` = 'admin' in a verified token, which only its issuer can write.
-- It is not the tenant's own role: an administrator of one company must see nothing of another. The command line acts as
-- service_role. Every function below asks for itself, so that a route that forgot to ask opens nothing.

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
ALTER TABLE public.ops_audit ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.ops_audit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
-- A record of what was done is read and added to, and never mended.
GRANT SELECT, INSERT ON public.ops_audit TO service_role;

-- Who does this: what the command line says of itself, else the user of the token, else the login.
CREATE FUNCTION scopekit.actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('scopekit.actor', true), ''),
                    'user ' || nullif(auth.jwt() ->> 'sub', ''), session_user::text)
$$;

-- `role` keeps its value inside a function that runs with its owner's rights, so this sees who really asks.
CREATE FUNCTION scopekit.require_operator() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF current_setting('role') IS DISTINCT FROM 'service_role'
       AND (auth.jwt() -> 'app_metadata' ->> 'platform_role') IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'this is for operators' USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Begin an operator's deed: who does not come as one is refused, and it is written down in the transaction that does it.
CREATE FUNCTION scopekit.operate(p_action text, p_target text, p_reason text, p_detail jsonb DEFAULT '{}')
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    PERFORM set_config('scopekit.reason', p_reason, true);
    INSERT INTO public.ops_audit (actor, action, target, reason, detail)
    VALUES (scopekit.actor(), p_action, p_target, p_reason, p_detail);
END $$;

CREATE FUNCTION scopekit.audit_log(p_limit integer)
    RETURNS TABLE (at timestamptz, actor text, action text, target text, reason text, detail jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT a.at, a.actor, a.action, a.target, a.reason, a.detail
                 FROM public.ops_audit a ORDER BY a.at DESC LIMIT p_limit;
END $$;

-- Dead letters -------------------------------------------------------------------------------------------------------

-- A discarded letter counts as dealt with (retried_at) everywhere; to its tenant the job stays failed.
ALTER TABLE public.ai_jobs_dlq ADD COLUMN discarded_at timestamptz,
    ADD CONSTRAINT discarded_is_dealt_with CHECK (discarded_at IS NULL OR retried_at IS NOT NULL);

CREATE OR REPLACE VIEW scopekit.job_statuses WITH (security_invoker = true) AS
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
FROM public.ai_jobs_dlq WHERE retried_at IS NULL OR discarded_at IS NOT NULL;

-- What one error has in common with others of its kind: ids and numbers say which one, not what.
CREATE FUNCTION scopekit.dead_cause(p_error text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(regexp_replace(coalesce(p_error, ''), '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]+', '#', 'g'), 200)
$$;

CREATE FUNCTION scopekit.dead_letters(p_limit integer)
    RETURNS TABLE (id uuid, job_id uuid, tenant_id uuid, tenant text, visit_id uuid, job_type text, error_code text,
                   cause text, last_error text, attempts integer, moved_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id, d.original_job_id, d.tenant_id, t.name, d.visit_id, d.job_type,
                        coalesce(d.error_code, ''), scopekit.dead_cause(d.last_error), d.last_error, d.attempts, d.moved_at
                 FROM public.ai_jobs_dlq d JOIN public.tenants t ON t.id = d.tenant_id
                 WHERE d.retried_at IS NULL ORDER BY d.moved_at DESC LIMIT p_limit;
END $$;

CREATE FUNCTION scopekit.dead_causes()
    RETURNS TABLE (job_type text, error_code text, cause text, letters bigint, tenants bigint,
                   oldest timestamptz, newest timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.job_type, coalesce(d.error_code, ''), scopekit.dead_cause(d.last_error), count(*),
                        count(DISTINCT d.tenant_id), min(d.moved_at), max(d.moved_at)
                 FROM public.ai_jobs_dlq d WHERE d.retried_at IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC;
END $$;

CREATE FUNCTION scopekit.letters_of_cause(p_job_type text, p_error_code text, p_cause text, p_limit integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT d.id FROM public.ai_jobs_dlq d
                 WHERE d.retried_at IS NULL AND d.job_type = p_job_type AND coalesce(d.error_code, '') = p_error_code
                   AND scopekit.dead_cause(d.last_error) = p_cause
                 ORDER BY d.moved_at LIMIT p_limit;
END $$;

-- The job's id, null for a letter that is not there or was discarded; unique_violation as scopekit.redrive.
CREATE FUNCTION scopekit.retry_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('dlq.retry', p_id::text, p_reason);
    IF EXISTS (SELECT FROM public.ai_jobs_dlq WHERE id = p_id AND discarded_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN scopekit.redrive(p_id);
END $$;

-- The job's id, null for a letter that is not there or was retried. A second call finds it done.
CREATE FUNCTION scopekit.discard_letter(p_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    v_job uuid;
BEGIN
    PERFORM scopekit.operate('dlq.discard', p_id::text, p_reason);
    UPDATE public.ai_jobs_dlq SET discarded_at = coalesce(discarded_at, now()), retried_at = coalesce(retried_at, now())
    WHERE id = p_id AND (retried_at IS NULL OR discarded_at IS NOT NULL)
    RETURNING original_job_id INTO v_job;
    RETURN v_job;
END $$;

-- Switches of the queue ----------------------------------------------------------------------------------------------

CREATE FUNCTION scopekit.operator_pause(p_name text, p_reason text, p_until timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('queue.pause', p_name, p_reason, jsonb_build_object('until', p_until));
    PERFORM scopekit.pause_queue(p_name, p_reason, p_until);
END $$;

CREATE FUNCTION scopekit.operator_resume(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('queue.resume', p_name, p_reason);
    RETURN scopekit.resume_queue(p_name);
END $$;

-- A share that must not be opened any more; false for one that is not there. Its own tenant revokes by the route.
CREATE FUNCTION scopekit.operator_revoke_share(p_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.operate('share.revoke', p_id::text, p_reason);
    UPDATE public.shares SET revoked_at = coalesce(revoked_at, now()) WHERE id = p_id;
    RETURN FOUND;
END $$;

-- Processes ----------------------------------------------------------------------------------------------------------

-- Who is at work: each process tells every few seconds, and takes its row along when it leaves. `keys` are fingerprints
-- of the secrets it uses, so that a rotation knows when the last one has the new ones.
CREATE TABLE public.processes (
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('gateway', 'worker')),
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    load       jsonb NOT NULL DEFAULT '{}',
    keys       jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (name, kind)
);
ALTER TABLE public.processes ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.processes FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.processes TO service_role;

CREATE FUNCTION scopekit.report_process(p_name text, p_kind text, p_load jsonb, p_keys jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.processes AS p (name, kind, load, keys) VALUES (p_name, p_kind, p_load, p_keys)
    ON CONFLICT (name, kind) DO UPDATE SET seen_at = now(), load = excluded.load, keys = excluded.keys;
    DELETE FROM public.processes WHERE seen_at < now() - interval '1 day';
END $$;

CREATE FUNCTION scopekit.forget_process(p_name text, p_kind text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    DELETE FROM public.processes WHERE name = p_name AND kind = p_kind
$$;

-- Those seen within p_within; the others have died without a word.
CREATE FUNCTION scopekit.live_processes(p_within interval)
    RETURNS TABLE (name text, kind text, started_at timestamptz, seen_at timestamptz, load jsonb, keys jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM scopekit.require_operator();
    RETURN QUERY SELECT p.name, p.kind, p.started_at, p.seen_at, p.load, p.keys
                 FROM public.processes p WHERE p.seen_at > now() - p_within ORDER BY p.kind, p.started_at, p.name;
END $$;

-- Depth over time ----------------------------------------------------------------------------------------------------

CREATE TABLE public.queue_samples (
    at      timestamptz PRIMARY KEY DEFAULT now(),
    queued  bigint NOT NULL,
    running bigint NOT NULL,
    dead    bigint NOT NULL
);
ALTER TABLE public.queue_samples ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.queue_samples FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.queue_samples TO service_role;

CREATE FUNCTION scopekit.sample_queue() RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.queue_samples (queued, running, dead)
    SELECT sum(depth) FILTER (WHERE status = 'queued'), sum(depth) FILTER (WHERE status = 'running'),
           sum(depth) FILTER (WHERE status = 'dead')
    FROM scopekit.queue_depths()
    ON CONFLICT (at) DO NOTHING;
    DELETE FROM public.queue_samples WHERE at < now() - interval '1 day'
$$;

CREATE FUNCTION scopekit.queue_history(p_back interval)
    RETURNS TABLE (at timestamptz, queued bigint, running bigint, dead bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT s.at, s.queued, s.running, s.dead FROM public.queue_samples s WHERE s.at > now() - p_back ORDER BY s.at
$$;

DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('scopekit.actor()',                                          'scopekit_gateway, service_role'),
            ('scopekit.require_operator()',                               'scopekit_gateway, service_role'),
            ('scopekit.operate(text, text, text, jsonb)',                 'scopekit_gateway, service_role'),
            ('scopekit.audit_log(integer)',                               'scopekit_gateway, service_role'),
            ('scopekit.dead_cause(text)',                                 'service_role'),
            ('scopekit.dead_letters(integer)',                            'scopekit_gateway, service_role'),
            ('scopekit.dead_causes()',                                    'scopekit_gateway, service_role'),
            ('scopekit.letters_of_cause(text, text, text, integer)',      'scopekit_gateway, service_role'),
            ('scopekit.retry_letter(uuid, text)',                         'scopekit_gateway, service_role'),
            ('scopekit.discard_letter(uuid, text)',                       'scopekit_gateway, service_role'),
            ('scopekit.operator_pause(text, text, timestamptz)',          'scopekit_gateway, service_role'),
            ('scopekit.operator_resume(text, text)',                      'scopekit_gateway, service_role'),
            ('scopekit.operator_revoke_share(uuid, text)',                'service_role'),
            ('scopekit.report_process(text, text, jsonb, jsonb)',         'scopekit_gateway, service_role'),
            ('scopekit.forget_process(text, text)',                       'scopekit_gateway, service_role'),
            ('scopekit.live_processes(interval)',                         'scopekit_gateway, service_role'),
            ('scopekit.sample_queue()',                                   'service_role'),
            ('scopekit.queue_history(interval)',                          'scopekit_gateway, service_role')
        ) AS wanted(signature, roles)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated', v_right.signature);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_right.signature, v_right.roles);
    END LOOP;
END $$;
