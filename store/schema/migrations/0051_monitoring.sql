-- What a dashboard may read: views of numbers, states and times, and nothing that a customer or a contractor wrote.
--
-- `scopekit_observer` finds them under the tables' own names, so that the runbook's queries run as they are written. It has
-- no right on a table, and cannot write. It has no password until the operator sets one.

DO $$
BEGIN
    IF to_regrole('scopekit_observer') IS NULL THEN
        CREATE ROLE scopekit_observer LOGIN NOINHERIT NOBYPASSRLS;
    END IF;
    ALTER ROLE scopekit_observer SET search_path = monitoring, public;
    ALTER ROLE scopekit_observer SET default_transaction_read_only = on;
    ALTER ROLE scopekit_observer SET statement_timeout = '30s';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'This login may not make or change the role "scopekit_observer".'
        USING HINT = format('Run as an administrator: CREATE ROLE scopekit_observer LOGIN NOINHERIT NOBYPASSRLS; '
                            '(unless it exists) GRANT scopekit_observer TO %I WITH ADMIN OPTION; and migrate again.',
                            current_user);
END $$;

CREATE SCHEMA monitoring;

-- Companies.
CREATE VIEW monitoring.tenants AS SELECT id, name, created_at, is_test FROM public.tenants;

-- Their flags, by nested and by dotted name: `visits: {enabled}` is `visits.enabled` too.
CREATE VIEW monitoring.tenant_settings AS
    SELECT s.tenant_id,
           s.feature_flags || coalesce((
               SELECT jsonb_object_agg(g.key || '.' || f.key, f.value)
               FROM jsonb_each(s.feature_flags) AS g,
                    jsonb_each(CASE jsonb_typeof(g.value) WHEN 'object' THEN g.value ELSE '{}' END) AS f), '{}')
               AS feature_flags
    FROM public.tenant_settings AS s;

-- Visits.
CREATE VIEW monitoring.site_visits AS SELECT id, tenant_id, status, created_at, updated_at, deleted_at FROM public.site_visits;
-- Their media.
CREATE VIEW monitoring.site_visit_media AS
    SELECT id, tenant_id, visit_id, media_type, content_type, file_size, original_size, duration_ms, status, created_at
    FROM public.site_visit_media;
-- Their estimates.
CREATE VIEW monitoring.estimates AS
    SELECT id, tenant_id, visit_id, version, status, job_id, engine, model, line_count, unpriced_count, created_at
    FROM public.estimates;

-- The jobs of all kinds.
CREATE VIEW monitoring.jobs AS
    SELECT id, tenant_id, visit_id, job_type, lane, status, priority, attempts, max_attempts, lost_leases, error_code, worker,
           run_at, created_at, started_at, finished_at
    FROM public.jobs;
-- The AI work, as the runbook calls it.
CREATE VIEW monitoring.ai_jobs AS SELECT * FROM monitoring.jobs WHERE lane = 'ai';
-- Dead letters of all kinds.
CREATE VIEW monitoring.jobs_dlq AS
    SELECT id, original_job_id, tenant_id, visit_id, job_type, lane, error_code, attempts, moved_at, retried_at, discarded_at
    FROM public.jobs_dlq;
-- Those of the AI work.
CREATE VIEW monitoring.ai_jobs_dlq AS SELECT * FROM monitoring.jobs_dlq WHERE lane = 'ai';

-- What phones told of their uploads; of payloads the attempts alone.
CREATE VIEW monitoring.visit_sync_events AS
    SELECT id, tenant_id, visit_id, event, jsonb_build_object('attempts', payload -> 'attempts') AS payload, created_at
    FROM public.visit_sync_events;
-- What happened on a visit, and when.
CREATE VIEW monitoring.processing_events AS
    SELECT visit_id, seq, tenant_id, job_id, type, created_at FROM public.processing_events;
-- What was counted.
CREATE VIEW monitoring.analytics_events AS SELECT id, event, tenant_id, "timestamp" FROM public.analytics_events;

-- What each company has used today, by the database's day, and what it stores; the runbook's query shows no companies
-- without a visit, and no size where there are no media.
CREATE VIEW monitoring.tenant_usage AS SELECT * FROM scopekit.tenant_usage();

-- The runbook's first alert.
CREATE FUNCTION monitoring.check_processing_slo() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$ SELECT public.check_processing_slo() $$;

-- Its second.
CREATE FUNCTION monitoring.check_upload_retries() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$ SELECT public.check_upload_retries() $$;

REVOKE ALL ON SCHEMA monitoring FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA monitoring FROM PUBLIC, anon, authenticated, service_role, scopekit_gateway;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA monitoring FROM PUBLIC, anon, authenticated, service_role, scopekit_gateway;
GRANT USAGE ON SCHEMA monitoring TO scopekit_observer;
GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO scopekit_observer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA monitoring TO scopekit_observer;
GRANT EXECUTE ON FUNCTION scopekit.tenant_usage() TO scopekit_observer;  -- a view's functions run as its reader
