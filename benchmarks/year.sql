-- A year of work, for `benchmarks.year`; $tenant$, $visits$, $companies$ and $hash$ are filled in.
-- The company that is looked through has a fiftieth of all visits.

SET session_replication_role = replica;
CREATE TEMPORARY TABLE companies AS
    SELECT n, CASE n WHEN 0 THEN $tenant$::uuid ELSE gen_random_uuid() END AS id
    FROM generate_series(0, $companies$) n;
INSERT INTO tenants (id, name) SELECT id, 'Company ' || n FROM companies WHERE n > 0;
INSERT INTO tenant_settings (tenant_id) SELECT id FROM companies WHERE n > 0;
INSERT INTO memberships (tenant_id, user_id, role) SELECT id, gen_random_uuid(), 'owner' FROM companies WHERE n > 0;
INSERT INTO price_items (tenant_id, code, description, unit, unit_price)
    SELECT id, 'C-' || item, 'Replace part ' || item, 'each', 10 FROM companies, generate_series(1, 50) item WHERE n > 0;
CREATE TEMPORARY TABLE visits AS
    SELECT v.n, gen_random_uuid() AS id, gen_random_uuid() AS job_id, gen_random_uuid() AS share_id, c.id AS tenant_id,
           now() - interval '1 year' * (1 - v.n / $visits$.0) AS at
    FROM generate_series(1, $visits$) AS v(n)
         JOIN companies c ON c.n = CASE WHEN v.n % 50 = 0 THEN 0 ELSE 1 + v.n % $companies$ END;
INSERT INTO site_visits (id, tenant_id, title, customer_name, status, created_at, updated_at)
    SELECT id, tenant_id, 'Visit ' || n, 'Maria Lopez', 'completed', at, at FROM visits;
INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, sha256,
                                  created_at)
    SELECT m.id, tenant_id, v.id, 'photo', 'image/jpeg', tenant_id || '/' || v.id || '/' || m.id, 2000000, $hash$, at
    FROM visits v, LATERAL (SELECT gen_random_uuid() AS id FROM generate_series(1, 5 + v.n * 0)) m;  -- ids anew for each visit
INSERT INTO tenant_storage (tenant_id, bytes) SELECT tenant_id, sum(file_size) FROM site_visit_media GROUP BY tenant_id;
INSERT INTO visit_streams (visit_id, tenant_id, last_seq, job_id, ended_by)
    SELECT id, tenant_id, 20, job_id, 'job.completed' FROM visits;
INSERT INTO processing_events (visit_id, seq, tenant_id, job_id, type, payload, created_at, ends_stream, background)
    SELECT id, seq, tenant_id, job_id,
           CASE seq WHEN 1 THEN 'job.queued' WHEN 20 THEN 'job.completed' ELSE 'step.progress' END,
           jsonb_build_object('step', 'vision', 'done', seq, 'correlation_id', job_id), at, seq = 20, false
    FROM visits, generate_series(1, 20) seq;
CREATE TEMPORARY TABLE drafts AS
    SELECT gen_random_uuid() AS id, v.id AS visit_id, v.tenant_id, version, v.at, v.n, v.job_id, v.share_id
    FROM visits v, generate_series(1, CASE WHEN v.n % 3 = 0 THEN 2 ELSE 1 END) version;
INSERT INTO estimates (id, tenant_id, visit_id, version, job_id, engine, model, usage, currency, subtotal, tax_rate, tax,
                           total, line_count, unpriced_count, content_hash, created_at)
    SELECT id, tenant_id, visit_id, version, CASE version WHEN 1 THEN job_id END, 'openai', 'a-model',
           '{"cost": 0.02}', 'USD', 100, 0, 0, 100, 10, 0, $hash$, at FROM drafts;
INSERT INTO estimate_lines (tenant_id, estimate_id, position, description, quantity, unit, unit_price, amount,
                                needs_review)
    SELECT tenant_id, id, position, 'Replace part ' || position, 1, 'each', 10, 10, false
    FROM drafts, generate_series(1, 10) position;
INSERT INTO shares (id, tenant_id, visit_id, estimate_id, recipient, views, expires_at, created_at)
    SELECT share_id, tenant_id, visit_id, id, 'Maria Lopez', 2, at + interval '30 days', at FROM drafts WHERE version = 1;
INSERT INTO share_tokens (token_hash, share_id, tenant_id)
    SELECT sha256(share_id::text::bytea), share_id, tenant_id FROM visits;
INSERT INTO share_views (tenant_id, share_id, session_hash, session_expires, opened_at)
    SELECT tenant_id, share_id, sha256((share_id::text || view)::bytea), at, at FROM visits, generate_series(1, 2) view;
INSERT INTO visit_sync_events (tenant_id, visit_id, event, created_at)
    SELECT tenant_id, id, 'upload.retry', at FROM visits, generate_series(1, 2);
INSERT INTO analytics_events (tenant_id, event, "timestamp")
    SELECT tenant_id, 'estimate_completed', at FROM visits, generate_series(1, 2);
INSERT INTO jobs (id, tenant_id, visit_id, job_type, status, attempts, created_at, started_at, finished_at, result, lane,
                      speaks, ends_stream, unique_key)
    SELECT job_id, tenant_id, id, 'estimate', 'completed', 1, at, at, at + interval '20 seconds', '{}', 'ai', true, true, id::text
    FROM visits WHERE at > now() - interval '30 days';
INSERT INTO jobs_dlq (original_job_id, tenant_id, visit_id, job_type, attempts, moved_at, retried_at)
    SELECT job_id, tenant_id, id, 'estimate', 3, at, CASE WHEN n % 1000 > 0 THEN at END FROM visits WHERE n % 50 = 0;
INSERT INTO changes (tenant_id, txid, kind, object_id, visit_id, action, changed_at)
    SELECT tenant_id, '1'::xid8, 'visit', id, id, 'updated', at FROM visits, generate_series(1, 3)
    WHERE at > now() - interval '30 days';
SET session_replication_role = DEFAULT;
