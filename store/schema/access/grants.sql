-- Who may do what: rights and row level security, all in one place.
--
-- A row is its tenant's. `authenticated` sees only rows of the tenant in its token, while its user is a member there, and
-- writes them unless it is a viewer: every policy asks current_tenant_id(), which reads the membership row. `anon` may
-- nothing, the gateway's login nothing until it takes a role. Workers act as service_role. A forgotten WHERE leaks nothing.
--
-- Default deny: every right on our tables, sequences and functions is taken from everybody first; what is not listed
-- below is nobody's but the owner's. Supabase's default privileges give new objects of `public` to its API's roles.

-- Tables --------------------------------------------------------------------------------------------------------------

-- Rights of a tenant's user, letters as in \dp: r select, a insert, w update, d delete. Tables that are no tenant's
-- (null) are service_role's alone.
DO $$
DECLARE
    v_right record;
    v_verb  record;
BEGIN
    FOR v_right IN
        SELECT * FROM (VALUES
            ('tenants',              'r'),
            ('tenant_settings',      'r'),
            ('memberships',          'r'),
            ('users',                NULL),
            ('identities',           NULL),
            ('sign_in_codes',        NULL),
            ('sign_in_attempts',     NULL),
            ('setup_code',           NULL),
            ('passkeys',             NULL),
            ('sessions',             NULL),
            ('api_keys',             ''),
            ('invitations',          ''),
            ('people_audit',         ''),
            ('idempotency_keys',     'raw'),
            ('changes',              'r'),
            ('webhook_endpoints',    'rd'),
            ('webhook_secrets',      NULL),
            ('webhook_messages',     'r'),
            ('webhook_deliveries',   'r'),
            ('flag_changes',         'r'),
            ('flag_kills',           NULL),
            ('killed_flag_tenants',            NULL),
            ('site_visits',          'raw'),
            ('visit_sync_events',    'ra'),
            ('site_visit_media',     'rawd'),
            ('tenant_storage',       NULL),
            ('transcripts',          'r'),
            ('media_uploads',        'raw'),
            ('resumable_uploads',    'rawd'),
            ('recording_chunks',     'rad'),
            ('discarded_recordings', 'rad'),
            ('price_items',          'rawd'),
            ('estimates',            'ra'),
            ('estimate_lines',       'ra'),
            ('visit_streams',        'r'),
            ('processing_events',    'ra'),
            ('progress_tickets',     'a'),
            ('jobs',                 'r'),
            ('jobs_dlq',             'r'),
            ('job_kinds',            NULL),
            ('worker_sessions',      NULL),
            ('job_stalls',           NULL),
            ('job_steps',            ''),
            ('cancelled_spending',   NULL),
            ('queue_control',        NULL),
            ('periodic_tasks',         NULL),
            ('queue_samples',        NULL),
            ('shares',               'a'),
            ('share_tokens',         'a'),
            ('mails',                'r'),
            ('share_views',          ''),
            ('share_activity',       'r'),
            ('share_decisions',      'r'),
            ('share_questions',      'r'),
            ('analytics_events',     ''),
            ('alerts',               NULL),
            ('operators',            NULL),
            ('ops_audit',            NULL),
            ('processes',            NULL),
            ('service_keys',         NULL),
            ('secret_rotations',     NULL)
        ) AS wanted(name, rights)
    LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', v_right.name);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role',
                       v_right.name);
        EXECUTE format('GRANT ALL ON public.%I TO service_role', v_right.name);
        CONTINUE WHEN v_right.rights IS NULL;
        FOR v_verb IN
            SELECT * FROM (VALUES
                ('r', 'SELECT', 'viewer', 'USING'),
                ('a', 'INSERT', 'member', 'WITH CHECK'),
                ('w', 'UPDATE', 'member', 'USING'),  -- of the row before and after
                ('d', 'DELETE', 'member', 'USING')
            ) AS v(letter, name, min_role, clause)
        LOOP
            IF strpos(v_right.rights, v_verb.letter) > 0 THEN
                EXECUTE format('GRANT %s ON public.%I TO authenticated', v_verb.name, v_right.name);
            END IF;
            -- Also where there is no right now: rights on columns follow below.
            EXECUTE format(
                'CREATE POLICY %I ON public.%I FOR %s TO authenticated %s (%I = (SELECT public.current_tenant_id(%L)))',
                lower(v_verb.name) || '_as_' || v_verb.min_role, v_right.name, v_verb.name, v_verb.clause,
                CASE v_right.name WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END, v_verb.min_role);
        END LOOP;
    END LOOP;
END $$;

-- A record of what was done is read and added to, and never changed.
REVOKE ALL ON public.ops_audit FROM service_role;
GRANT SELECT, INSERT ON public.ops_audit TO service_role;
REVOKE UPDATE, DELETE, TRUNCATE ON public.flag_changes FROM service_role;

-- A visit in the bin is hidden, and so is what hangs on it.
DO $$
DECLARE
    v_table text;
BEGIN
    EXECUTE 'CREATE POLICY not_in_the_bin ON public.site_visits AS RESTRICTIVE TO authenticated USING (deleted_at IS NULL)';
    FOREACH v_table IN ARRAY ARRAY['site_visit_media', 'media_uploads', 'resumable_uploads', 'recording_chunks',
                                   'transcripts', 'estimates', 'jobs', 'jobs_dlq', 'shares', 'visit_sync_events'] LOOP
        EXECUTE format('CREATE POLICY not_in_the_bin ON public.%I AS RESTRICTIVE TO authenticated
            USING (NOT EXISTS (SELECT FROM scopekit.bin b WHERE b.visit_id = %I.visit_id))', v_table, v_table);
    END LOOP;
END $$;

-- Columns -------------------------------------------------------------------------------------------------------------

-- An administrator changes the profile and the branding; money, flags and limits are not the tenant's to set here.
GRANT UPDATE (profile, accent, logo_path, updated_at, display) ON public.tenant_settings TO authenticated;
GRANT UPDATE (remind_unopened_days, remind_unanswered_days) ON public.tenant_settings TO authenticated;
CREATE POLICY changed_by_admins ON public.tenant_settings AS RESTRICTIVE FOR UPDATE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('admin')));

-- A client enqueues a plain job; its turn, lease, attempts and results are the queue's to write.
GRANT INSERT (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, trace_context, created_by,
              priority, run_at) ON public.jobs TO authenticated;
-- A tenant may queue a job for later, and behind others; never before them, as priority goes before fairness.
CREATE POLICY bounded_priority_and_time ON public.jobs AS RESTRICTIVE FOR INSERT TO authenticated
    WITH CHECK (priority BETWEEN -10 AND 0
                AND run_at BETWEEN now() - interval '1 hour' AND now() + interval '90 days 1 hour');

-- Other lanes are the product's own: a mail holds what its tenant's members must not read, nor send.
CREATE POLICY ai_alone ON public.jobs AS RESTRICTIVE TO authenticated USING (lane = 'ai');
CREATE POLICY ai_alone ON public.jobs_dlq AS RESTRICTIVE TO authenticated USING (lane = 'ai');
REVOKE ALL ON public.ai_jobs, public.ai_jobs_dlq FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.ai_jobs, public.ai_jobs_dlq TO service_role;
GRANT SELECT ON public.ai_jobs, public.ai_jobs_dlq TO authenticated;
GRANT INSERT (tenant_id, visit_id, job_type, payload, idempotency_key, correlation_id, trace_context, created_by,
              priority, run_at) ON public.ai_jobs TO authenticated;

-- Webhooks are the administrators'. What an endpoint's url, types and status are is theirs to change.
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['webhook_endpoints', 'webhook_messages', 'webhook_deliveries'] LOOP
        EXECUTE format('CREATE POLICY admins_alone ON public.%I AS RESTRICTIVE TO authenticated
            USING (tenant_id = (SELECT public.current_tenant_id(%L)))', v_table, 'admin');
    END LOOP;
END $$;
GRANT UPDATE (url, description, event_types, status, reason, failures, failing_since, not_before, updated_at)
    ON public.webhook_endpoints TO authenticated;

-- A ticket stands for its maker's own token and for no longer than a minute. The gateway later acts under its claims, so
-- whoever may insert a row (on Supabase any user may, by REST) must not write another tenant's into it.
-- A viewer watches too.
DROP POLICY insert_as_member ON public.progress_tickets;
CREATE POLICY insert_as_viewer ON public.progress_tickets FOR INSERT TO authenticated
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id())
                AND claims = (SELECT auth.jwt())
                AND expires_at <= clock_timestamp() + interval '1 minute');

-- Of a share only its revocation and what it shows change by its owner's hand; views and passcode tries are counted by
-- functions. Hashes are for comparing, never for reading: not even the tenant that owns the share can list them.
GRANT SELECT (id, tenant_id, visit_id, estimate_id, recipient, has_passcode, failed_passcodes, locked_until, max_views,
              views, expires_at, revoked_at, created_by, created_at, display, reminders,
              in_person) ON public.shares TO authenticated;
GRANT UPDATE (revoked_at, display, reminders) ON public.shares TO authenticated;
GRANT SELECT (share_id, tenant_id) ON public.share_tokens TO authenticated;
GRANT SELECT (id, tenant_id, share_id, user_agent_class, address_prefix, opened_at) ON public.share_views
    TO authenticated;

-- Mails to the company's own people are those people's.
CREATE POLICY customers_alone ON public.mails AS RESTRICTIVE FOR SELECT TO authenticated USING (user_id IS NULL);

-- Schema scopekit -----------------------------------------------------------------------------------------------------

-- A user's transaction runs in the role `authenticated`, and calls the functions that check its tenant.
GRANT USAGE ON SCHEMA scopekit TO authenticated;

REVOKE ALL ON ALL TABLES IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT SELECT ON scopekit.job_statuses TO authenticated, service_role;
GRANT SELECT ON scopekit.bin TO authenticated;
GRANT SELECT, UPDATE ON SEQUENCE scopekit.turn_served TO service_role;

-- Functions -----------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scopekit FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA scopekit TO service_role;

-- By name, whatever its arguments; a name that no function has is an error.
DO $$
DECLARE
    v_right     record;
    v_signature regprocedure;
BEGIN
    FOR v_right IN
        SELECT wanted.schema, wanted.roles, name FROM (VALUES
            -- What a tenant's user calls: pure, or checking the tenant, or running with the caller's own rights.
            ('public', 'authenticated, service_role', ARRAY[
                'current_tenant_id', 'search_text', 'share_state', 'share_status', 'visit_state']),
            ('public', 'authenticated', ARRAY[
                'find_price_items', 'mail_share', 'resembling_price_items', 'rotate_share', 'record_decision', 'answer_question', 'send_version']),
            ('scopekit', 'authenticated', ARRAY[
                'cancel_job', 'job_correlation', 'set_visits_status', 'stall_reason', 'queue_position']),
            ('scopekit', 'authenticated', ARRAY[
                'delete_visit', 'deleted_visits', 'purge_visit', 'restore_visit', 'stored_bytes']),
            ('scopekit', 'authenticated', ARRAY[
                'change_company', 'change_own_person', 'choose_notifications', 'create_api_key', 'invite_person', 'list_api_keys', 'own_audit', 'own_invitations',
                'own_notifications',
                'own_people', 'preview_document', 'revoke_api_key', 'withdraw_invitation']),
            ('scopekit', 'authenticated', ARRAY[
                'create_webhook_endpoint', 'own_redelivery', 'own_webhook_test', 'rotate_webhook_secret']),
            -- Signing in, and sessions: for a browser whose secret the gateway has verified.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'add_passkey', 'ask_for_code', 'begin_attempt', 'choose_company', 'companies_of', 'delete_account', 'end_sessions',
                'ended_sessions', 'find_passkey', 'found_company', 'is_empty', 'join_by_link', 'may_sign_in', 'offer_setup',
                'passkeys_of', 'read_api_key', 'read_invitation', 'read_link', 'read_session', 'read_user',
                'remove_passkey', 'rotate_session', 'sessions_of', 'set_up', 'sign_in_user', 'start_session',
                'take_attempt', 'try_code', 'use_code', 'use_passkey']),
            -- The runbook's, and the worker's.
            ('public', 'service_role', ARRAY[
                'check_analytics_outbox', 'check_processing_slo', 'check_upload_retries', 'claim_ai_jobs', 'move_to_dlq']),
            ('public', '', ARRAY['check_estimate_totals']),
            -- The relay: streams of every tenant, opened for a verified token.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'bus_has_leader', 'lead_bus', 'committed_since', 'events_after', 'register_listener', 'open_streams',
                'stream_heads', 'stream_snapshot', 'non_members', 'use_ticket', 'maintain_bus', 'member_role']),
            -- The customer with a link, who has no token: as the gateway's login, and as no role that a token could name.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'ask_question', 'decide_share', 'log_share_activity', 'open_share', 'share_by_token', 'share_document', 'share_logo',
                'share_updates', 'share_photo', 'tenant_of_share', 'try_passcode']),
            -- Limits for whoever asks, before it is known who that is.
            ('scopekit', 'scopekit_gateway', ARRAY['spend_tries']),
            -- Numbers across tenants, and no row.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'alert_states', 'due_jobs', 'job_outcomes', 'outbox_state', 'queue_depths', 'queue_health',
                'queue_history', 'queue_kinds', 'queue_minutes', 'queue_overdue', 'queue_switches', 'tenant_flags', 'tenant_usage',
                'dead_letter_growth', 'may_be_stalled', 'report_process', 'report_stalls', 'unregister_process']),
            -- The operators' functions, each of which asks who calls.
            ('scopekit', 'scopekit_gateway', ARRAY[
                'actor', 'audit_log', 'dead_letter_causes', 'dead_letters', 'discard_dead_letter', 'flag_history',
                'flags_of_tenants', 'is_operator', 'kill_flag', 'killed_flags', 'dead_letter_waits', 'live_processes',
                'begin_action', 'operator_hold', 'operator_pause', 'operator_release', 'operator_resume', 'require_operator',
                'restore_flag', 'retry_dead_letter', 'set_flag', 'set_flag_everywhere', 'waiting_dead_letters'])
        ) AS wanted(schema, roles, names), unnest(names) AS name
    LOOP
        v_signature := format('%I.%I', v_right.schema, v_right.name)::regproc::regprocedure;
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, anon, authenticated, scopekit_gateway', v_signature);
        IF v_right.schema = 'public' THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM service_role', v_signature);
        END IF;
        IF v_right.roles <> '' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', v_signature, v_right.roles);
        END IF;
    END LOOP;
END $$;

-- Supabase Storage ----------------------------------------------------------------------------------------------------

-- Whose objects are whose. Elsewhere the gateway holds the same rules over a plain S3 bucket, and this does not run.
DO $$
DECLARE
    -- current_tenant_id() is null for a user who may not: then nothing matches.
    c_own CONSTANT text := $p$ bucket_id IN ('site-visits', 'site-visits-originals')
        AND split_part(name, '/', 1) = (SELECT public.current_tenant_id(%L))::text $p$;
BEGIN
    IF to_regclass('storage.objects') IS NULL THEN
        RETURN;
    END IF;
    -- Supabase has it on, and lets only the owner of the table switch it.
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = 'storage.objects'::regclass) THEN
        ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
    END IF;
    DROP POLICY IF EXISTS "site-visits: a tenant reads its own" ON storage.objects;
    DROP POLICY IF EXISTS "site-visits: a tenant adds its own" ON storage.objects;
    EXECUTE 'CREATE POLICY "site-visits: a tenant reads its own" ON storage.objects FOR SELECT TO authenticated '
            'USING (' || format(c_own, 'viewer') || ')';
    -- No UPDATE and no DELETE: what a row vouches for by hash stays as it is, and goes only with its row.
    EXECUTE 'CREATE POLICY "site-visits: a tenant adds its own" ON storage.objects FOR INSERT TO authenticated '
            'WITH CHECK (' || format(c_own, 'member') || ')';
END $$;
