-- Webhooks: where a company wants its events delivered, the events, and what became of each delivery.
--
-- Invariants
--   1. An event, its deliveries and their jobs are written in the transaction of the change that it reports.
--   2. Nothing here fails or holds up that change: an endpoint that is being deleted is passed by.
--   3. A delivery is completed by an answer 2xx. After a crash it is made again under the same id: at least once.
--   4. An endpoint that is away is asked by one delivery at a time; the others wait and lose no attempt.
--   5. A secret is readable by workers alone: not even the company that it is of can read it again.

-- Where events are delivered. Paused: events are kept and not delivered, by a person's hand or after days of failures.
-- Disabled: the receiver answered 410, and nothing is kept for it.
CREATE TABLE public.webhook_endpoints (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    url           text NOT NULL CHECK (url ~ '^https?://' AND length(url) <= 2000),
    description   text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
    event_types   text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'disabled')),
    reason        text NOT NULL DEFAULT '' CHECK (reason IN ('', 'by_hand', 'failing', 'gone')),
    failures      integer NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- in a row
    failing_since timestamptz,
    not_before    timestamptz,  -- when it may be asked again
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    CONSTRAINT reason_iff_not_active CHECK ((status = 'active') = (reason = '')),
    CONSTRAINT failing_since_the_first CHECK ((failures = 0) = (failing_since IS NULL))
);
CREATE INDEX webhook_endpoints_of_tenant ON public.webhook_endpoints (tenant_id);

-- What an endpoint's deliveries are signed with: the newest, and for a day those that it replaced. Not readable by users.
CREATE TABLE public.webhook_secrets (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    secret      bytea NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    expires_at  timestamptz,  -- null: the newest
    FOREIGN KEY (endpoint_id, tenant_id) REFERENCES public.webhook_endpoints (id, tenant_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX webhook_secrets_newest ON public.webhook_secrets (endpoint_id) WHERE expires_at IS NULL;
CREATE INDEX webhook_secrets_of_endpoint ON public.webhook_secrets (endpoint_id, tenant_id);

-- Something that happened, as it is delivered. Written only where an endpoint wants it.
CREATE TABLE public.webhook_messages (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    type        text NOT NULL,
    data        jsonb NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX webhook_messages_of_tenant ON public.webhook_messages (tenant_id);
CREATE INDEX webhook_messages_by_age ON public.webhook_messages (happened_at);

-- An event on its way to one endpoint, with the last answers: [{at, status, ms, error}, ...].
CREATE TABLE public.webhook_deliveries (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    message_id  uuid NOT NULL,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    tries       integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    answers     jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(answers) = 'array'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (message_id, endpoint_id),
    FOREIGN KEY (endpoint_id, tenant_id) REFERENCES public.webhook_endpoints (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (message_id, tenant_id) REFERENCES public.webhook_messages (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_newest ON public.webhook_deliveries (endpoint_id, id DESC);
CREATE INDEX webhook_deliveries_of_endpoint ON public.webhook_deliveries (endpoint_id, tenant_id);
CREATE INDEX webhook_deliveries_of_message ON public.webhook_deliveries (message_id, tenant_id);

-- Events --------------------------------------------------------------------------------------------------------------

-- Queue these events for every endpoint of their companies that wants them. A paused endpoint's are kept, and not tried.
CREATE FUNCTION scopekit.queue_webhooks(p_types text[], p_tenants uuid[], p_data jsonb[]) RETURNS void LANGUAGE sql AS $$
    WITH wanted AS MATERIALIZED (
        SELECT h.nth, h.type, h.tenant_id, h.data, e.id AS endpoint_id, e.status
        FROM unnest(p_types, p_tenants, p_data) WITH ORDINALITY AS h(type, tenant_id, data, nth)
        JOIN public.webhook_endpoints AS e
            ON e.tenant_id = h.tenant_id AND e.status <> 'disabled' AND h.type = ANY (e.event_types)
        FOR KEY SHARE OF e SKIP LOCKED
    ), messages AS MATERIALIZED (
        SELECT nth, uuidv7() AS id, min(type) AS type, (array_agg(tenant_id))[1] AS tenant_id,
               (array_agg(data))[1] AS data
        FROM wanted GROUP BY nth
    ), kept AS (
        INSERT INTO public.webhook_messages (id, tenant_id, type, data) SELECT id, tenant_id, type, data FROM messages
    ), deliveries AS (
        INSERT INTO public.webhook_deliveries (tenant_id, endpoint_id, message_id, state)
        SELECT w.tenant_id, w.endpoint_id, m.id, CASE w.status WHEN 'active' THEN 'pending' ELSE 'failed' END
        FROM wanted AS w JOIN messages AS m USING (nth) ORDER BY w.nth
        RETURNING id, tenant_id, state
    )
    INSERT INTO public.jobs (job_type, tenant_id, payload, unique_key)
    SELECT 'webhook', tenant_id, jsonb_build_object('delivery_id', id), id::text FROM deliveries
    WHERE state = 'pending' ORDER BY id
$$;

-- Reports the rows of one statement, `changed`: arguments are the event's type, its data as a list of columns, and the
-- rest of the query, all as SQL. For a company without endpoints it ends at once.
CREATE FUNCTION scopekit.note_webhook_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.webhook_endpoints AS e
                   WHERE e.status <> 'disabled' AND e.tenant_id IN (SELECT c.tenant_id FROM changed AS c)) THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'SELECT scopekit.queue_webhooks(array_agg((%s)::text), array_agg(c.tenant_id),
                                        array_agg((SELECT to_jsonb(d) FROM (SELECT %s) AS d)))
         FROM changed AS c %s HAVING count(*) > 0',
        TG_ARGV[0], TG_ARGV[1], TG_ARGV[2]);
    RETURN NULL;
END $$;

-- The events: the catalogue in `store/webhooks/catalogue.py` describes each, and a test holds the two together.
DO $$
DECLARE
    c_visit    CONSTANT text := 'c.id AS visit_id, c.external_id, c.title, c.customer_name, c.address, c.status,
                                 c.metadata, c.created_at, c.updated_at';
    c_media    CONSTANT text := 'c.id AS media_id, c.visit_id, c.media_type, c.content_type, c.file_size, c.sha256,
                                 c.created_at';
    c_share    CONSTANT text := 'c.id AS share_id, c.visit_id, c.estimate_id, c.recipient, c.views, c.expires_at,
                                 c.revoked_at, c.created_at';
    c_person   CONSTANT text := 'c.user_id, c.role, (SELECT u.email FROM public.users AS u WHERE u.id = c.user_id) AS email';
    c_people   CONSTANT text := 'WHERE NOT EXISTS (SELECT FROM public.api_keys AS k WHERE k.id = c.user_id)';
    v_event    record;
BEGIN
    FOR v_event IN
        SELECT * FROM (VALUES
            ('site_visits', 'INSERT', $t$'visit.created'$t$, c_visit, ''),
            ('site_visits', 'UPDATE', $t$'visit.updated'$t$, c_visit,
             'JOIN was AS w ON w.id = c.id
                AND (w.title, w.customer_name, w.address, w.notes, w.external_id, w.metadata)
                    IS DISTINCT FROM (c.title, c.customer_name, c.address, c.notes, c.external_id, c.metadata)'),
            ('site_visit_media', 'INSERT', $t$'media.created'$t$, c_media, ''),
            ('site_visit_media', 'DELETE', $t$'media.deleted'$t$, c_media, ''),
            ('estimates', 'INSERT', $t$'estimate.created'$t$,
             'c.id AS estimate_id, c.visit_id, c.version, c.job_id, c.currency, c.subtotal::text, c.markup::text,
              c.discount::text, c.tax::text, c.total::text, c.line_count, c.unpriced_count, c.content_hash, c.created_at', ''),
            ('jobs_dlq', 'INSERT', $t$'estimate.failed'$t$,
             'c.original_job_id AS job_id, c.visit_id, c.error_code, c.last_error AS error, c.moved_at AS failed_at',
             $t$WHERE c.job_type = 'estimate' AND c.tenant_id IS NOT NULL$t$),
            ('shares', 'INSERT', $t$'share.created'$t$, c_share, ''),
            ('shares', 'UPDATE',
             $t$CASE WHEN w.revoked_at IS DISTINCT FROM c.revoked_at THEN 'share.revoked' ELSE 'share.opened' END$t$,
             c_share,
             'JOIN was AS w ON w.id = c.id
                AND (w.revoked_at IS NULL AND c.revoked_at IS NOT NULL OR w.views = 0 AND c.views > 0)'),
            ('share_decisions', 'INSERT', $t$'share.' || c.decision$t$,
             'c.share_id, (SELECT s.visit_id FROM public.shares AS s WHERE s.id = c.share_id) AS visit_id, c.estimate_id,
              c.estimate_version, c.content_hash, c.name, c.message, c.decided_at', ''),
            ('share_questions', 'INSERT',
             $t$CASE c.kind WHEN 'question' THEN 'share.question_asked' ELSE 'share.question_answered' END$t$,
             'c.id AS question_id, c.share_id, (SELECT s.visit_id FROM public.shares AS s WHERE s.id = c.share_id) AS visit_id,
              c.name, c.body, c.sent_at', ''),
            ('memberships', 'INSERT', $t$'person.joined'$t$, c_person, c_people),
            ('memberships', 'UPDATE', $t$'person.role_changed'$t$, c_person,
             'JOIN was AS w ON w.tenant_id = c.tenant_id AND w.user_id = c.user_id AND w.role <> c.role ' || c_people),
            ('memberships', 'DELETE', $t$'person.removed'$t$, c_person, c_people)
        ) AS t(name, verb, type, data, rest)
    LOOP
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON public.%I REFERENCING %s
            FOR EACH STATEMENT EXECUTE FUNCTION scopekit.note_webhook_events(%L, %L, %L)',
            'webhook_' || lower(v_event.verb), v_event.verb, v_event.name,
            CASE v_event.verb WHEN 'INSERT' THEN 'NEW TABLE AS changed' WHEN 'DELETE' THEN 'OLD TABLE AS changed'
                              ELSE 'OLD TABLE AS was NEW TABLE AS changed' END,
            v_event.type, v_event.data, v_event.rest);
    END LOOP;
END $$;

-- A delivery whose job died (its workers were killed three times) is failed, and can be made again.
CREATE FUNCTION scopekit.fail_dead_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.webhook_deliveries SET state = 'failed'
    WHERE id = (NEW.payload ->> 'delivery_id')::uuid AND state = 'pending';
    RETURN NULL;
END $$;

CREATE TRIGGER fail_dead_delivery AFTER INSERT ON public.jobs_dlq FOR EACH ROW WHEN (NEW.job_type = 'webhook')
    EXECUTE FUNCTION scopekit.fail_dead_delivery();

-- A company's own ------------------------------------------------------------------------------------------------------

-- Make an endpoint of the caller's company, with its first secret: its id. No row where the caller is no administrator;
-- a null id where the company has p_most already.
CREATE FUNCTION scopekit.create_webhook_endpoint(p_url text, p_description text, p_event_types text[], p_secret bytea,
                                                 p_most integer)
    RETURNS TABLE (id uuid) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant CONSTANT uuid := public.current_tenant_id('admin');
    v_id     uuid;
BEGIN
    PERFORM FROM public.tenants AS t WHERE t.id = v_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF (SELECT count(*) FROM public.webhook_endpoints AS e WHERE e.tenant_id = v_tenant) < p_most THEN
        INSERT INTO public.webhook_endpoints AS e (tenant_id, url, description, event_types)
        VALUES (v_tenant, p_url, p_description, p_event_types) RETURNING e.id INTO v_id;
        INSERT INTO public.webhook_secrets (tenant_id, endpoint_id, secret) VALUES (v_tenant, v_id, p_secret);
    END IF;
    RETURN QUERY SELECT v_id;
END $$;

-- Sign with a new secret from now on, and for p_overlap with the one before too. False for no endpoint of the caller's.
CREATE FUNCTION scopekit.rotate_webhook_secret(p_endpoint uuid, p_secret bytea, p_overlap interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant CONSTANT uuid := public.current_tenant_id('admin');
BEGIN
    PERFORM FROM public.webhook_endpoints WHERE id = p_endpoint AND tenant_id = v_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.webhook_secrets WHERE endpoint_id = p_endpoint AND expires_at IS NOT NULL;
    UPDATE public.webhook_secrets SET expires_at = now() + p_overlap WHERE endpoint_id = p_endpoint;
    INSERT INTO public.webhook_secrets (tenant_id, endpoint_id, secret) VALUES (v_tenant, p_endpoint, p_secret);
    RETURN true;
END $$;

-- Queue a test event for an endpoint that is active: the delivery's id, else null.
CREATE FUNCTION scopekit.queue_webhook_test(p_tenant uuid, p_endpoint uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_message  uuid;
    v_delivery uuid;
BEGIN
    PERFORM FROM public.webhook_endpoints WHERE id = p_endpoint AND tenant_id = p_tenant AND status = 'active'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.webhook_messages (tenant_id, type, data)
    VALUES (p_tenant, 'webhook.test', jsonb_build_object('endpoint_id', p_endpoint)) RETURNING id INTO v_message;
    INSERT INTO public.webhook_deliveries (tenant_id, endpoint_id, message_id) VALUES (p_tenant, p_endpoint, v_message)
    RETURNING id INTO v_delivery;
    INSERT INTO public.jobs (job_type, tenant_id, payload, unique_key)
    VALUES ('webhook', p_tenant, jsonb_build_object('delivery_id', v_delivery), v_delivery::text);
    RETURN v_delivery;
END $$;

-- Make deliveries of an active endpoint again: one, or all since a time that are not delivered. How many; null for no
-- active endpoint. The endpoint is asked at once.
CREATE FUNCTION scopekit.queue_redelivery(p_tenant uuid, p_endpoint uuid, p_delivery uuid, p_since timestamptz)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE public.webhook_endpoints SET not_before = NULL
    WHERE id = p_endpoint AND tenant_id = p_tenant AND status = 'active';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WITH again AS (
        UPDATE public.webhook_deliveries AS d SET state = 'pending'
        WHERE d.endpoint_id = p_endpoint
          AND CASE WHEN p_delivery IS NULL THEN d.state = 'failed' AND d.created_at >= p_since
                   ELSE d.id = p_delivery AND d.state <> 'pending' END
        RETURNING d.id
    )
    INSERT INTO public.jobs (job_type, tenant_id, payload, unique_key)
    SELECT 'webhook', p_tenant, jsonb_build_object('delivery_id', id), id::text FROM again ORDER BY id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Queue a test event of the caller's company, for its administrators.
CREATE FUNCTION scopekit.own_webhook_test(p_endpoint uuid) RETURNS uuid LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT scopekit.queue_webhook_test(public.current_tenant_id('admin'), p_endpoint) $$;

-- Make deliveries of the caller's company again.
CREATE FUNCTION scopekit.own_redelivery(p_endpoint uuid, p_delivery uuid, p_since timestamptz) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT scopekit.queue_redelivery(public.current_tenant_id('admin'), p_endpoint, p_delivery, p_since) $$;

-- The worker's ---------------------------------------------------------------------------------------------------------

-- Keep an answer of a delivery; the last twenty stay.
CREATE FUNCTION scopekit.note_webhook_answer(p_delivery uuid, p_state text, p_status integer, p_ms integer, p_error text)
    RETURNS void LANGUAGE sql AS $$
    UPDATE public.webhook_deliveries AS d
    SET state = p_state, tries = d.tries + 1,
        answers = (CASE WHEN jsonb_array_length(d.answers) >= 20 THEN d.answers - 0 ELSE d.answers END)
                  || jsonb_build_object('at', scopekit.iso(clock_timestamp()), 'status', p_status, 'ms', p_ms,
                                        'error', p_error)
    WHERE d.id = p_delivery
$$;

-- Note that an endpoint did not take a delivery, which stays pending: it is asked again after p_wait. After p_patience of
-- failures it is paused, and the company's owners get a mail. Returns its status. Of deliveries that were under way
-- together, which saw the same p_failures, the first counts.
CREATE FUNCTION scopekit.note_webhook_failure(p_endpoint uuid, p_failures integer, p_wait interval, p_patience interval)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_status text;
BEGIN
    UPDATE public.webhook_endpoints
    SET failures = failures + 1, failing_since = coalesce(failing_since, now()), not_before = now() + p_wait
    WHERE id = p_endpoint AND status = 'active' AND failures = p_failures;
    UPDATE public.webhook_endpoints SET status = 'paused', reason = 'failing', updated_at = now()
    WHERE id = p_endpoint AND status = 'active' AND failing_since < now() - p_patience;
    IF FOUND THEN
        INSERT INTO public.jobs (job_type, payload)
        SELECT 'mail', jsonb_build_object('mail', 'webhook_paused', 'about', p_endpoint, 'user_id', m.user_id,
                                          'queued_at', clock_timestamp())
        FROM public.memberships AS m JOIN public.webhook_endpoints AS e ON e.tenant_id = m.tenant_id
        WHERE e.id = p_endpoint AND m.role = 'owner';
    END IF;
    SELECT status INTO v_status FROM public.webhook_endpoints WHERE id = p_endpoint;
    RETURN v_status;
END $$;
