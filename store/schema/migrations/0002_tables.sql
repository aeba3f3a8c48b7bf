-- The tables. Every row of a tenant carries its tenant_id, and composite foreign keys keep a child in its parent's
-- tenant. Invariants stand here as CHECKs and partial unique indexes, not in handlers.

CREATE TABLE public.tenants (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.tenant_settings (
    tenant_id     uuid PRIMARY KEY REFERENCES public.tenants ON DELETE CASCADE,
    feature_flags jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(feature_flags) = 'object'),
    currency      text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    tax_rate      numeric(7, 5) NOT NULL DEFAULT 0 CHECK (tax_rate >= 0 AND tax_rate < 1),
    profile       jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(profile) = 'object'),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.memberships (
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    user_id    uuid NOT NULL,
    role       text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE public.site_visits (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL REFERENCES public.tenants,
    title         text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    customer_name text NOT NULL DEFAULT '' CHECK (length(customer_name) <= 200),
    address       text NOT NULL DEFAULT '' CHECK (length(address) <= 500),
    notes         text NOT NULL DEFAULT '' CHECK (length(notes) <= 20000),
    status        text NOT NULL DEFAULT 'in_progress'
                  CHECK (status IN ('in_progress', 'finalizing', 'completed', 'failed')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX site_visits_newest ON public.site_visits (tenant_id, created_at DESC);

CREATE TABLE public.site_visit_media (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    media_type    text NOT NULL CHECK (media_type IN ('photo', 'audio')),
    content_type  text NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    width         integer CHECK (width > 0),
    height        integer CHECK (height > 0),
    status        text NOT NULL DEFAULT 'stored' CHECK (status IN ('stored', 'needs_attention')),
    problem       text CHECK ((problem IS NULL) = (status = 'stored')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    -- The key is {tenant}/{visit}/{media}: a client's file name never reaches the store.
    CHECK (storage_path = tenant_id || '/' || visit_id || '/' || id)
);
CREATE INDEX site_visit_media_of_visit ON public.site_visit_media (visit_id, created_at);
-- Not unique: the same photo may hang in two visits, or twice in one.
CREATE INDEX site_visit_media_by_hash ON public.site_visit_media (visit_id, sha256);

CREATE TABLE public.transcripts (
    media_id    uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    text        text NOT NULL,
    language    text,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    segments    jsonb NOT NULL DEFAULT '[]',
    words       jsonb NOT NULL DEFAULT '[]',
    engine      text NOT NULL,
    model       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (media_id, tenant_id) REFERENCES public.site_visit_media (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);

CREATE TABLE public.price_items (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL REFERENCES public.tenants,
    code        text NOT NULL DEFAULT '' CHECK (length(code) <= 64),
    description text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category    text NOT NULL DEFAULT '' CHECK (length(category) <= 100),
    unit        text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price  numeric(12, 2) NOT NULL CHECK (unit_price >= 0),
    active      boolean NOT NULL DEFAULT true,
    search      text GENERATED ALWAYS AS (public.search_text(description)) STORED,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX price_items_of_tenant ON public.price_items (tenant_id, unit) WHERE active;
CREATE INDEX price_items_search ON public.price_items USING gin (search gin_trgm_ops) WHERE active;

-- The queue. Lifecycle: queued -> running -> completed | failed | cancelled; a retry is queued with a later run_at.
CREATE TABLE public.ai_jobs (
    id                  uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id           uuid NOT NULL,
    visit_id            uuid NOT NULL,
    job_type            text NOT NULL,
    status              text NOT NULL DEFAULT 'queued'
                        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    priority            smallint NOT NULL DEFAULT 0,
    attempts            integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts        integer CHECK (max_attempts BETWEEN 1 AND 25),  -- null means 3
    lost_leases         integer NOT NULL DEFAULT 0 CHECK (lost_leases >= 0),
    payload             jsonb NOT NULL DEFAULT '{}',
    result              jsonb,
    last_error          text,
    error_code          text,
    idempotency_key     text CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    correlation_id      text,
    run_at              timestamptz NOT NULL DEFAULT now(),
    lease_token         uuid,
    lease_expires_at    timestamptz,
    worker              text,
    cancel_requested_at timestamptz,
    created_by          uuid,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT leased_iff_running CHECK (
        (status = 'running') = (lease_token IS NOT NULL) AND (lease_token IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT finished_iff_final CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT result_iff_completed CHECK ((status = 'completed') = (result IS NOT NULL))
);
CREATE UNIQUE INDEX ai_jobs_one_active ON public.ai_jobs (visit_id, job_type) WHERE status IN ('queued', 'running');
CREATE UNIQUE INDEX ai_jobs_idempotency ON public.ai_jobs (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ai_jobs_claimable ON public.ai_jobs (priority DESC, run_at, id) WHERE status = 'queued';
CREATE INDEX ai_jobs_leases ON public.ai_jobs (lease_expires_at) WHERE status = 'running';
CREATE INDEX ai_jobs_of_visit ON public.ai_jobs (visit_id, created_at DESC);
CREATE INDEX ai_jobs_finished ON public.ai_jobs (finished_at DESC) WHERE status = 'completed';

CREATE TABLE public.ai_jobs_dlq (
    id              uuid PRIMARY KEY DEFAULT uuidv7(),
    original_job_id uuid NOT NULL,
    tenant_id       uuid NOT NULL,
    visit_id        uuid NOT NULL,
    job_type        text NOT NULL,
    last_error      text,
    error_code      text,
    attempts        integer NOT NULL,
    payload         jsonb NOT NULL DEFAULT '{}',
    job             jsonb NOT NULL DEFAULT '{}',  -- the whole row as it stood, so that a redrive loses nothing
    moved_at        timestamptz NOT NULL DEFAULT now(),
    retried_at      timestamptz,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
-- A redriven job keeps its id and may die again: at most one waiting row each.
CREATE UNIQUE INDEX ai_jobs_dlq_waiting ON public.ai_jobs_dlq (original_job_id) WHERE retried_at IS NULL;
CREATE INDEX ai_jobs_dlq_newest ON public.ai_jobs_dlq (moved_at DESC);

-- Checkpoints: what a rescued job does not do again. No key to ai_jobs, whose row moves to the DLQ and back.
CREATE TABLE public.job_steps (
    job_id     uuid NOT NULL,
    step       text NOT NULL,
    item       text NOT NULL DEFAULT '',
    tenant_id  uuid NOT NULL REFERENCES public.tenants,
    visit_id   uuid NOT NULL,
    value      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, step, item),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);

-- One row per visit: its lock, held to commit, makes the order of seq the order of commits, without a gap.
CREATE TABLE public.visit_streams (
    visit_id  uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    last_seq  bigint NOT NULL DEFAULT 0,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);

CREATE TABLE public.processing_events (
    visit_id   uuid NOT NULL,
    seq        bigint NOT NULL,  -- given by the trigger; the SSE id
    tenant_id  uuid NOT NULL,
    job_id     uuid,
    type       text NOT NULL CHECK (type ~ '^[a-z_]+(\.[a-z_]+)*$' AND length(type) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (visit_id, seq),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);

-- Single-use keys to one visit's stream, for an EventSource, which cannot send a header. Unlogged: they live 30 s.
CREATE UNLOGGED TABLE public.progress_tickets (
    ticket_hash bytea PRIMARY KEY CHECK (length(ticket_hash) = 32),
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    claims      jsonb NOT NULL,
    expires_at  timestamptz NOT NULL
);

CREATE TABLE public.visit_sync_events (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id  uuid NOT NULL,
    visit_id   uuid NOT NULL,
    event      text NOT NULL CHECK (event <> '' AND length(event) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX visit_sync_events_recent ON public.visit_sync_events (event, created_at DESC);

CREATE TABLE public.analytics_events (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    event       text NOT NULL CHECK (event <> ''),
    properties  jsonb NOT NULL DEFAULT '{}',
    tenant_id   uuid REFERENCES public.tenants,
    user_id     uuid,
    "timestamp" timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analytics_events_recent ON public.analytics_events (event, "timestamp" DESC);

-- A row is one version of a visit's estimate; an edit makes the next.
CREATE TABLE public.estimates (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    visit_id       uuid NOT NULL,
    version        integer NOT NULL CHECK (version >= 1),
    status         text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'accepted', 'declined', 'changes_requested')),
    job_id         uuid,  -- null: made by an edit
    engine         text NOT NULL,
    model          text NOT NULL,
    summary        text NOT NULL DEFAULT '',
    coverage       jsonb NOT NULL DEFAULT '[]',  -- plain sentences: what was and was not looked at
    usage          jsonb NOT NULL DEFAULT '{}',  -- model calls, tokens, cost
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal       numeric(14, 2) NOT NULL CHECK (subtotal >= 0),
    tax_rate       numeric(7, 5) NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
    tax            numeric(14, 2) NOT NULL CHECK (tax = round(subtotal * tax_rate, 2)),
    total          numeric(14, 2) NOT NULL CHECK (total = subtotal + tax),
    line_count     integer NOT NULL CHECK (line_count >= 1),
    unpriced_count integer NOT NULL CHECK (unpriced_count BETWEEN 0 AND line_count),
    content_hash   text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    created_by     uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    UNIQUE (visit_id, version),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX estimates_one_per_job ON public.estimates (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE public.estimate_lines (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    estimate_id    uuid NOT NULL,
    position       integer NOT NULL CHECK (position >= 1),
    description    text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category       text NOT NULL DEFAULT '',
    quantity       numeric(12, 3) NOT NULL CHECK (quantity > 0),
    unit           text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price     numeric(12, 2) CHECK (unit_price >= 0),  -- null: unpriced, never a guess and never 0
    amount         numeric(14, 2),
    price_item_id  uuid,
    match          jsonb,
    evidence       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(evidence) = 'array'),
    assumptions    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(assumptions) = 'array'),
    confidence     numeric(4, 3) CHECK (confidence BETWEEN 0 AND 1),
    needs_review   boolean NOT NULL,
    review_reasons jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(review_reasons) = 'array'),
    UNIQUE (estimate_id, position),
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    -- round() on numeric is half away from zero: ROUND_HALF_UP for amounts, which are never negative.
    CONSTRAINT amount_is_quantity_times_price CHECK (amount IS NOT DISTINCT FROM round(quantity * unit_price, 2)),
    CONSTRAINT no_evidence_needs_review CHECK (needs_review OR jsonb_array_length(evidence) > 0)
);

-- At commit an estimate's totals agree with its lines, whoever wrote them.
CREATE FUNCTION public.check_estimate_totals() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_estimate public.estimates;
    v_lines    record;
BEGIN
    SELECT * INTO v_estimate FROM public.estimates
    WHERE id = CASE TG_TABLE_NAME WHEN 'estimates' THEN coalesce(NEW.id, OLD.id) END
       OR id = CASE TG_TABLE_NAME WHEN 'estimate_lines' THEN
               (to_jsonb(coalesce(NEW, OLD)) ->> 'estimate_id')::uuid END;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) AS lines, count(*) FILTER (WHERE amount IS NULL) AS unpriced,
           coalesce(sum(amount), 0) AS subtotal
    INTO v_lines FROM public.estimate_lines WHERE estimate_id = v_estimate.id;
    IF (v_estimate.line_count, v_estimate.unpriced_count, v_estimate.subtotal)
       IS DISTINCT FROM (v_lines.lines::integer, v_lines.unpriced::integer, v_lines.subtotal) THEN
        RAISE EXCEPTION 'estimate % does not agree with its lines', v_estimate.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE ON public.estimates
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();
CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE OR DELETE ON public.estimate_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();

CREATE TABLE public.shares (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    visit_id         uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    token_hash       bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),  -- the token itself is shown once
    recipient        text NOT NULL DEFAULT '' CHECK (length(recipient) <= 200),
    passcode_hash    text,
    failed_passcodes integer NOT NULL DEFAULT 0,
    locked_until     timestamptz,
    max_views        integer CHECK (max_views BETWEEN 1 AND 10000),
    views            integer NOT NULL DEFAULT 0 CHECK (views >= 0),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    created_by       uuid,
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT views_within_limit CHECK (max_views IS NULL OR views <= max_views)
);

CREATE TABLE public.share_views (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    session_hash     bytea NOT NULL UNIQUE CHECK (length(session_hash) = 32),
    session_expires  timestamptz NOT NULL,
    user_agent_class text NOT NULL DEFAULT '',
    address_prefix   text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    opened_at        timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX share_views_of_share ON public.share_views (share_id, opened_at);

CREATE TABLE public.share_decisions (
    share_id         uuid PRIMARY KEY,  -- once per share
    tenant_id        uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    estimate_version integer NOT NULL,
    content_hash     text NOT NULL,
    decision         text NOT NULL CHECK (decision IN ('accepted', 'declined', 'changes_requested')),
    name             text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    message          text NOT NULL DEFAULT '' CHECK (length(message) <= 2000),
    address_prefix   text NOT NULL DEFAULT '',
    decided_at       timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE
);

-- Operators' switches for the queue: one row per name (`estimate`, `engine:openai`, ...), paused or not.
CREATE TABLE public.queue_control (
    name       text PRIMARY KEY,
    paused     boolean NOT NULL DEFAULT false,
    reason     text NOT NULL DEFAULT '',
    until      timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.service_keys (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL,
    key_hash   bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
