-- Share links: what a customer with a link may read and answer.
--
-- A customer has no tenant token, so the functions of schema scopekit are the only way in: for the gateway's login alone,
-- and each begins with the sha256 of the link's 256-bit token. Nothing here lists shares, and an argument that is NULL
-- matches nothing.

-- A link to one version of an estimate, for one recipient.
CREATE TABLE public.shares (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    visit_id         uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    recipient        text NOT NULL DEFAULT '' CHECK (length(recipient) <= 200),
    passcode_hash    text,
    has_passcode     boolean GENERATED ALWAYS AS (passcode_hash IS NOT NULL) STORED,
    failed_passcodes integer NOT NULL DEFAULT 0,  -- over the life of the link
    locked_until     timestamptz,
    max_views        integer CHECK (max_views BETWEEN 1 AND 10000),
    views            integer NOT NULL DEFAULT 0 CHECK (views >= 0),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    created_by       uuid,
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- What of the estimate the customer sees, as the contractor chose it.
    display          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(display) = 'object'),
    reminders        boolean NOT NULL DEFAULT true,
    in_person        boolean NOT NULL DEFAULT false,  -- opened on the contractor's device, by the customer
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT views_within_limit CHECK (max_views IS NULL OR views <= max_views)
);
CREATE INDEX shares_of_visit ON public.shares (visit_id);
CREATE INDEX shares_of_estimate ON public.shares (estimate_id, created_at);

-- The links of a share: the one that its maker was shown, and one for each mail that carried it. All end with the share.
CREATE TABLE public.share_tokens (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- the token itself is shown, or mailed, once
    share_id   uuid NOT NULL,
    tenant_id  uuid NOT NULL,
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX share_tokens_of_share ON public.share_tokens (share_id);

-- Each time a link was opened: one view, one session.
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

-- What else happened with a share, beside its views and its decision.
CREATE TABLE public.share_activity (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    view_id          uuid REFERENCES public.share_views ON DELETE CASCADE,  -- in which session; null: in none
    kind             text NOT NULL CHECK (kind IN ('photo', 'pdf', 'certificate', 'rotated', 'locked', 'version')),
    media_id         uuid,
    user_agent_class text NOT NULL DEFAULT '',
    address_prefix   text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    happened_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT photo_iff_media CHECK ((kind = 'photo') = (media_id IS NOT NULL)),
    CONSTRAINT in_a_session_or_outside CHECK ((kind IN ('rotated', 'locked', 'version')) = (view_id IS NULL))
);
CREATE INDEX share_activity_of_share ON public.share_activity (share_id, happened_at);
-- Once a session and thing: a reader who pages back and forth neither fills the timeline nor the table.
CREATE UNIQUE INDEX share_activity_once ON public.share_activity (view_id, kind, media_id) NULLS NOT DISTINCT
    WHERE view_id IS NOT NULL;

-- The customer's answer, once per share and version, and what an acceptance leaves behind: a drawn or typed signature, and a
-- certificate of what was accepted, by whom and when.
CREATE TABLE public.share_decisions (
    share_id         uuid NOT NULL,
    tenant_id        uuid NOT NULL,
    estimate_id      uuid NOT NULL,
    estimate_version integer NOT NULL,
    content_hash     text NOT NULL,
    decision         text NOT NULL CHECK (decision IN ('accepted', 'declined', 'changes_requested')),
    name             text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    message          text NOT NULL DEFAULT '' CHECK (length(message) <= 2000),
    address_prefix   text NOT NULL DEFAULT '',
    user_agent_class text NOT NULL DEFAULT '',
    -- The path of a drawn signature: strokes within 600 x 200, whole numbers, straight lines.
    signature        text NOT NULL DEFAULT ''
                     CHECK (length(signature) <= 12000 AND signature ~ '^(M\d{1,3} \d{1,3}(L\d{1,3} \d{1,3})+)*$'),
    certificate      text,  -- the exact text whose sha256 the fingerprint is
    fingerprint      text,
    decided_at       timestamptz NOT NULL DEFAULT now(),
    -- What was accepted of an estimate with options, its total, and the hash that binds both to the content.
    option           text NOT NULL DEFAULT '',
    total            numeric(14, 2),
    selection_hash   text,
    taken            text NOT NULL DEFAULT 'online' CHECK (taken IN ('online', 'in_person', 'phone')),
    recorded_by      uuid,  -- the member who recorded a decision by phone
    PRIMARY KEY (share_id, estimate_id),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT fingerprint_of_certificate CHECK (
        fingerprint IS NOT DISTINCT FROM encode(sha256(convert_to(certificate, 'UTF8')), 'hex'))
);
-- One decision per version of an estimate, whichever of its recipients is first.
CREATE UNIQUE INDEX share_decisions_one_per_estimate ON public.share_decisions (estimate_id);

-- One message of a share's thread.
CREATE TABLE public.share_questions (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('question', 'answer')),
    name             text NOT NULL DEFAULT '' CHECK (length(name) <= 200),  -- the customer's; answers are the company's
    body             text NOT NULL CHECK (body <> '' AND length(body) <= 2000),
    address_prefix   text NOT NULL DEFAULT '',
    user_agent_class text NOT NULL DEFAULT '',
    created_by       uuid,  -- the member who answered
    sent_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX share_questions_of_share ON public.share_questions (share_id, sent_at);

-- A share's thread, oldest first: questions, answers, and what its customer wrote with a decision.
CREATE FUNCTION scopekit.thread_of(p_share_id uuid)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'name', name, 'body', body, 'sent_at', sent_at)
                              ORDER BY sent_at), '[]')
    FROM (SELECT kind, name, body, sent_at FROM public.share_questions WHERE share_id = p_share_id
          UNION ALL
          SELECT decision, name, message, decided_at FROM public.share_decisions
          WHERE share_id = p_share_id AND message <> '') AS message
$$;

-- Finding a share -----------------------------------------------------------------------------------------------------

-- ready | revoked | expired | used_up. No limit (NULL) is never used up.
CREATE FUNCTION public.share_state(p_revoked_at timestamptz, p_expires_at timestamptz, p_views integer,
                                   p_max_views integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_revoked_at IS NOT NULL THEN 'revoked'
        WHEN (p_expires_at > now()) IS NOT TRUE THEN 'expired'
        WHEN p_views >= p_max_views THEN 'used_up'
        ELSE 'ready'
    END
$$;

-- The one status of a share: revoked, its decision, expired, used_up, opened or sent. A revoked link is revoked whatever
-- was answered before; a decision outlasts the end of its link.
CREATE FUNCTION public.share_status(p_decision text, p_revoked_at timestamptz, p_expires_at timestamptz,
                                    p_views integer, p_max_views integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_revoked_at IS NOT NULL THEN 'revoked'
        WHEN p_decision IS NOT NULL THEN p_decision
        WHEN public.share_state(p_revoked_at, p_expires_at, p_views, p_max_views) <> 'ready'
            THEN public.share_state(p_revoked_at, p_expires_at, p_views, p_max_views)
        WHEN p_views > 0 THEN 'opened'
        ELSE 'sent'
    END
$$;

-- How far a visit is, in one word: accepted once any version was; else the status of its newest share; else whether
-- there is an estimate, and what its job does. As the caller may see it.
CREATE FUNCTION public.visit_state(p_visit_id uuid, p_status text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT 'accepted' FROM public.estimates e WHERE e.visit_id = p_visit_id AND e.status = 'accepted' LIMIT 1),
        (SELECT public.share_status(d.decision, s.revoked_at, s.expires_at, s.views, s.max_views)
         FROM public.shares s LEFT JOIN public.share_decisions d
             ON d.share_id = s.id AND d.estimate_id = s.estimate_id
         WHERE s.visit_id = p_visit_id ORDER BY s.created_at DESC, s.id DESC LIMIT 1),
        CASE p_status WHEN 'finalizing' THEN 'estimating' WHEN 'failed' THEN 'failed' END,
        (SELECT 'draft' FROM public.estimates e WHERE e.visit_id = p_visit_id LIMIT 1),
        'open')
$$;

-- The share whose link and live session these are, or no row: a session dies with its share.
CREATE FUNCTION scopekit.live_share(p_token_hash bytea, p_session_hash bytea)
    RETURNS SETOF public.shares LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.* FROM public.share_tokens t JOIN public.shares s ON s.id = t.share_id
    JOIN public.share_views v ON v.share_id = s.id
    WHERE t.token_hash = p_token_hash AND v.session_hash = p_session_hash
      AND v.session_expires > now() AND s.expires_at > now() AND s.revoked_at IS NULL
$$;

-- The share behind a link, or no row; `live` says that the session is one of its own and still runs. Of the document the
-- door says whose it is and for whom, and with a passcode only whose: link previews read the door.
CREATE FUNCTION scopekit.share_by_token(p_token_hash bytea, p_session_hash bytea)
    RETURNS TABLE (share_id uuid, state text, has_passcode boolean, live boolean, company text, customer text,
                   has_logo boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.id, public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views), s.has_passcode,
           EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)),
           coalesce(nullif(g.profile ->> 'business_name', ''), t.name),
           CASE WHEN s.has_passcode THEN '' ELSE coalesce(nullif(v.customer_name, ''), s.recipient) END,
           g.logo_path IS NOT NULL
    FROM public.share_tokens k
    JOIN public.shares s ON s.id = k.share_id
    JOIN public.tenants t ON t.id = s.tenant_id
    JOIN public.site_visits v ON v.id = s.visit_id
    LEFT JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
    WHERE k.token_hash = p_token_hash
$$;

-- Whose share of the machine a customer's request counts in, or NULL; never shown to the customer.
CREATE FUNCTION scopekit.tenant_of_share(p_token_hash bytea)
    RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.tenant_id FROM public.share_tokens t WHERE t.token_hash = p_token_hash
$$;

-- Opening it ----------------------------------------------------------------------------------------------------------

-- Count one try before the passcode is checked, so that a hundred at once are still five. Returns the hash to check it
-- against, or no hash and the seconds until the next try. Wrong tries count over the life of the link, whoever opens it
-- between them: each five lock it, for 15 minutes and then four times as long as before, so that a guesser has 45 tries
-- in a year of 10,000 codes of four digits. The contractor reads of each lock in the share's story.
CREATE FUNCTION scopekit.try_passcode(p_token_hash bytea)
    RETURNS TABLE (passcode_hash text, retry_after integer) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c_tries CONSTANT integer := 5;
    c_lock  CONSTANT interval := '15 minutes';
    v_share public.shares;
    v_tries integer;
    v_locks integer;
    v_locked boolean;
BEGIN
    -- The token is locked too: one that is replaced meanwhile is gone when its turn comes.
    SELECT s.* INTO v_share FROM public.shares s JOIN public.share_tokens t ON t.share_id = s.id
    WHERE t.token_hash = p_token_hash FOR UPDATE OF s FOR KEY SHARE OF t;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF v_share.locked_until > now() THEN
        RETURN QUERY SELECT NULL::text, ceil(extract(epoch FROM v_share.locked_until - now()))::integer;
        RETURN;
    END IF;
    v_tries := v_share.failed_passcodes + 1;
    v_locks := v_tries / c_tries;
    v_locked := v_tries % c_tries = 0;
    UPDATE public.shares
    SET failed_passcodes = v_tries, locked_until = CASE WHEN v_locked THEN now() + c_lock * 4 ^ least(v_locks - 1, 8) END
    WHERE id = v_share.id;
    IF v_locked THEN
        INSERT INTO public.share_activity (tenant_id, share_id, kind)
        VALUES (v_share.tenant_id, v_share.id, 'locked');
    END IF;
    RETURN QUERY SELECT v_share.passcode_hash, 0;
END $$;

-- Take one view and begin a session: 'opened', else why not (unknown, revoked, expired, used_up, passcode; stale: the
-- session's secret was used before). p_passcode_hash is the one the caller checked a passcode against; it must still be
-- the share's. A second click on the same form brings the same secret, and takes no second view.
CREATE FUNCTION scopekit.open_share(p_token_hash bytea, p_session_hash bytea, p_passcode_hash text,
                                    p_session_seconds integer, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
    v_state text;
BEGIN
    -- The token is locked too: one that is replaced meanwhile is gone when its turn comes.
    SELECT s.* INTO v_share FROM public.shares s JOIN public.share_tokens t ON t.share_id = s.id
    WHERE t.token_hash = p_token_hash FOR UPDATE OF s FOR KEY SHARE OF t;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)) THEN
        RETURN 'opened';
    END IF;
    v_state := public.share_state(v_share.revoked_at, v_share.expires_at, v_share.views, v_share.max_views);
    IF v_state <> 'ready' THEN
        RETURN v_state;
    END IF;
    IF v_share.passcode_hash IS DISTINCT FROM p_passcode_hash THEN
        RETURN 'passcode';
    END IF;
    IF EXISTS (SELECT 1 FROM public.share_views WHERE session_hash = p_session_hash) THEN
        RETURN 'stale';
    END IF;
    -- The try that was right was counted as if it were wrong; so was the lock that it may have closed.
    IF v_share.locked_until > now() THEN
        DELETE FROM public.share_activity
        WHERE id = (SELECT id FROM public.share_activity WHERE share_id = v_share.id AND kind = 'locked'
                    ORDER BY happened_at DESC LIMIT 1);
    END IF;
    UPDATE public.shares
    SET views = views + 1, locked_until = NULL,
        failed_passcodes = greatest(0, failed_passcodes - CASE WHEN passcode_hash IS NULL THEN 0 ELSE 1 END)
    WHERE id = v_share.id;
    INSERT INTO public.share_views (tenant_id, share_id, session_hash, session_expires, user_agent_class,
                                    address_prefix)
    VALUES (v_share.tenant_id, v_share.id, p_session_hash,
            least(now() + make_interval(secs => p_session_seconds), v_share.expires_at),
            coalesce(p_user_agent_class, ''), coalesce(p_address_prefix, ''));
    IF v_share.views = 0 THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
        VALUES (v_share.visit_id, v_share.tenant_id, 'share.opened',
                jsonb_build_object('share_id', v_share.id, 'recipient', v_share.recipient));
    END IF;
    RETURN 'opened';
END $$;

-- Reading it ----------------------------------------------------------------------------------------------------------

-- The photos that lines of an estimate cite: all a customer may see of a visit's media.
CREATE FUNCTION scopekit.cited_photos(p_estimate_id uuid)
    RETURNS SETOF public.site_visit_media LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.* FROM public.estimates e JOIN public.site_visit_media m ON m.visit_id = e.visit_id
    WHERE e.id = p_estimate_id AND m.media_type = 'photo' AND m.status = 'stored'
      AND EXISTS (SELECT 1 FROM public.estimate_lines l, jsonb_array_elements(l.evidence) AS cited
                  WHERE l.estimate_id = e.id AND cited ->> 'media_id' = m.id::text)
$$;

-- sha256 of a text, in hex.
CREATE FUNCTION scopekit.text_hash(p_text text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(p_text, 'UTF8')), 'hex')
$$;

-- The terms a tenant's offers stand under now. An acceptance keeps its own in the certificate.
CREATE FUNCTION scopekit.terms_of(p_tenant_id uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((SELECT profile ->> 'terms' FROM public.tenant_settings WHERE tenant_id = p_tenant_id), '')
$$;

-- What a customer agrees to with one of an estimate's options: {option, subtotal, markup, discount, tax, total,
-- unpriced_count, hash}, money as strings; NULL for an option that is not offered. The hash binds the option and its total
-- to the version's content. An estimate without options has one selection, of the option ''.
CREATE FUNCTION scopekit.selection_of(p_estimate public.estimates, p_option text)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'option', p_option, 'subtotal', l.subtotal::text, 'markup', m.markup::text, 'discount', d.discount::text,
        'tax', t.tax::text, 'total', (d.due + t.tax)::text, 'unpriced_count', l.unpriced,
        'hash', scopekit.text_hash(concat_ws('|', p_estimate.content_hash, p_option, (d.due + t.tax)::text)))
    FROM (SELECT coalesce(sum(amount), 0.00) AS subtotal, count(*) FILTER (WHERE amount IS NULL) AS unpriced
          FROM public.estimate_lines WHERE estimate_id = p_estimate.id AND option IN ('', p_option)) l,
        LATERAL (SELECT round(l.subtotal * p_estimate.markup_rate, 2) AS markup) m,
        LATERAL (SELECT discount, l.subtotal + m.markup - discount AS due
                 FROM (SELECT CASE WHEN p_estimate.discount_rate IS NOT NULL
                                   THEN round((l.subtotal + m.markup) * p_estimate.discount_rate, 2)
                                   ELSE least(p_estimate.discount_fixed, l.subtotal + m.markup) END AS discount) x) d,
        LATERAL (SELECT round(d.due * p_estimate.tax_rate, 2) AS tax) t
    WHERE CASE WHEN p_estimate.options = '[]' THEN p_option = '' ELSE p_estimate.options ? p_option END
$$;

-- What a customer reads of an estimate by a share, or of none for its contractor's preview. A new field here is a field
-- that a customer may see: the summary, coverage, evidence, quotes, assumptions, review reasons, confidence, matches,
-- typed notes and original names stay inside. Money and quantities are strings. Each option's own subtotal stands beside
-- its name; their order is the contractor's. `display` is the contractor's choice of what is shown.
CREATE FUNCTION scopekit.document_of(p_estimate_id uuid, p_share_id uuid)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'share', jsonb_build_object('id', s.id, 'recipient', coalesce(s.recipient, ''),
                                    'expires_at', coalesce(s.expires_at, now() + interval '7 days')),
        'display', coalesce(s.display, g.display, '{}'),
        'business', jsonb_build_object('name', t.name) || (
            SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each_text(g.profile) p
            WHERE p.key IN ('business_name', 'address', 'phone', 'email', 'license', 'timezone', 'terms'))
            || jsonb_build_object('accent', g.accent, 'has_logo', g.logo_path IS NOT NULL,
                                  'terms_hash', scopekit.text_hash(scopekit.terms_of(t.id))),
        'visit', jsonb_build_object('id', v.id, 'title', v.title, 'customer_name', v.customer_name,
                                    'address', v.address, 'visited_at', v.created_at),
        'estimate', jsonb_build_object(
            'id', e.id, 'version', e.version, 'status', e.status,
            'currency', e.currency, 'subtotal', e.subtotal::text, 'markup_rate', e.markup_rate::text,
            'markup', e.markup::text, 'discount_rate', e.discount_rate::text, 'discount', e.discount::text,
            'tax_rate', e.tax_rate::text, 'tax', e.tax::text,
            'total', e.total::text, 'line_count', e.line_count, 'unpriced_count', e.unpriced_count,
            'content_hash', e.content_hash, 'created_at', e.created_at,
            'is_newest', NOT EXISTS (SELECT 1 FROM public.estimates n
                                     WHERE n.visit_id = e.visit_id AND n.version > e.version),
            'chosen_option', e.chosen_option,
            'selections', (
                SELECT jsonb_agg(scopekit.selection_of(e, o.name) ORDER BY o.place)
                FROM jsonb_array_elements_text(CASE WHEN e.options = '[]' THEN '[""]' ELSE e.options END)
                    WITH ORDINALITY AS o(name, place)),
            'options', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'name', o.name,
                    'subtotal', (SELECT coalesce(sum(l.amount), 0)::text FROM public.estimate_lines l
                                 WHERE l.estimate_id = e.id AND l.option IN ('', o.name))) ORDER BY o.place), '[]')
                FROM jsonb_array_elements_text(e.options) WITH ORDINALITY AS o(name, place))),
        'lines', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'description', l.description, 'category', l.category, 'quantity', l.quantity::text, 'unit', l.unit,
                'unit_price', l.unit_price::text, 'amount', l.amount::text, 'option', l.option,
                'photos', (SELECT coalesce(jsonb_agg(c.id ORDER BY c.first), '[]')
                           FROM (SELECT x ->> 'media_id' AS id, min(n) AS first
                                 FROM jsonb_array_elements(l.evidence) WITH ORDINALITY AS cited(x, n)
                                 WHERE x ->> 'media_id' IS NOT NULL GROUP BY 1) c)) ORDER BY l.position), '[]')
            FROM public.estimate_lines l WHERE l.estimate_id = e.id),
        'photos', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'label', m.label)), '[]')
            FROM scopekit.cited_photos(e.id) m),
        'decision', (
            -- What was written with it is between its writer and the contractor.
            SELECT jsonb_build_object('decision', d.decision, 'name', d.name, 'decided_at', d.decided_at,
                                      'message', CASE WHEN d.share_id = s.id THEN d.message ELSE '' END,
                                      'option', d.option, 'taken', d.taken,
                                      'signature', d.signature, 'certificate', d.certificate,
                                      'fingerprint', d.fingerprint)
            FROM public.share_decisions d WHERE d.estimate_id = e.id),
        'thread', scopekit.thread_of(s.id))
    FROM public.estimates e
    JOIN public.tenants t ON t.id = e.tenant_id
    JOIN public.site_visits v ON v.id = e.visit_id
    LEFT JOIN public.tenant_settings g ON g.tenant_id = e.tenant_id
    LEFT JOIN public.shares s ON s.id = p_share_id AND s.estimate_id = e.id
    WHERE e.id = p_estimate_id
$$;

-- The document of a live session, or NULL without one.
CREATE FUNCTION scopekit.share_document(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT scopekit.document_of(s.estimate_id, s.id) FROM scopekit.live_share(p_token_hash, p_session_hash) s
$$;

-- An estimate as a customer would read it, for its own company; NULL for another's.
CREATE FUNCTION scopekit.preview_document(p_estimate_id uuid)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT scopekit.document_of(e.id, NULL) FROM public.estimates e
    WHERE e.id = p_estimate_id AND e.tenant_id = public.current_tenant_id()
$$;

-- One photo of the shared document, or no row: where it is kept and what it is. One that the contractor hid is none.
CREATE FUNCTION scopekit.share_photo(p_token_hash bytea, p_session_hash bytea, p_media_id uuid)
    RETURNS TABLE (id uuid, tenant_id uuid, visit_id uuid, media_type text, content_type text, storage_path text,
                   sha256 text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.id, m.tenant_id, m.visit_id, m.media_type, m.content_type, m.storage_path, m.sha256
    FROM scopekit.live_share(p_token_hash, p_session_hash) s, scopekit.cited_photos(s.estimate_id) m
    WHERE m.id = p_media_id AND coalesce((s.display ->> 'photos')::boolean, true)
      AND NOT coalesce(s.display -> 'hidden_photos' ? m.id::text, false)
$$;

-- Where the contractor's logo lies, for the door of a link that can be opened and for a live session; NULL when there is
-- none.
CREATE FUNCTION scopekit.share_logo(p_token_hash bytea, p_session_hash bytea)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.logo_path FROM public.share_tokens t
    JOIN public.shares s ON s.id = t.share_id
    JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
    WHERE t.token_hash = p_token_hash
      AND (public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views) = 'ready'
           OR EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)))
$$;

-- What an open page asks now and then: {version, newest, decision, messages}, or NULL without a live session.
CREATE FUNCTION scopekit.share_updates(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'version', e.version,
        'newest', (SELECT max(n.version) FROM public.estimates n WHERE n.visit_id = e.visit_id),
        'decision', (SELECT d.decision FROM public.share_decisions d WHERE d.estimate_id = e.id),
        'messages', jsonb_array_length(scopekit.thread_of(s.id)))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s JOIN public.estimates e ON e.id = s.estimate_id
$$;

-- Write down what a live session looked at; without one nothing happens.
CREATE FUNCTION scopekit.log_share_activity(p_token_hash bytea, p_session_hash bytea, p_kind text, p_media_id uuid,
                                       p_user_agent_class text, p_address_prefix text)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.share_activity (tenant_id, share_id, view_id, kind, media_id, user_agent_class, address_prefix)
    SELECT s.tenant_id, s.id, v.id, p_kind, p_media_id, p_user_agent_class, p_address_prefix
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.share_views v ON v.share_id = s.id AND v.session_hash = p_session_hash
    ON CONFLICT DO NOTHING
$$;

-- Answering it --------------------------------------------------------------------------------------------------------

-- The certificate's text. A moment is UTC to the microsecond; a drawn signature stands in it as its hash.
CREATE FUNCTION scopekit.certificate_of(p_decision public.share_decisions, p_estimate public.estimates,
                                        p_unpriced_count integer)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'what', 'Acceptance of an estimate',
        'estimate_id', p_estimate.id, 'visit_id', p_estimate.visit_id, 'version', p_estimate.version,
        'content_hash', p_estimate.content_hash, 'total', p_decision.total::text, 'currency', p_estimate.currency,
        'unpriced_count', p_unpriced_count, 'option', p_decision.option,
        'selection_hash', p_decision.selection_hash, 'taken', p_decision.taken,
        'contractor', (SELECT coalesce(nullif(g.profile ->> 'business_name', ''), t.name) FROM public.tenants t
                       LEFT JOIN public.tenant_settings g ON g.tenant_id = t.id WHERE t.id = p_decision.tenant_id),
        'terms', scopekit.terms_of(p_decision.tenant_id),
        'accepted_by', p_decision.name,
        'accepted_at', to_char(p_decision.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'signed_by', CASE WHEN p_decision.signature = '' THEN 'typed name' ELSE 'typed name and drawn signature' END,
        'signature_sha256', CASE WHEN p_decision.signature = '' THEN NULL
                                 ELSE scopekit.text_hash(p_decision.signature) END,
        'share_id', p_decision.share_id,
        'address', p_decision.address_prefix, 'browser', p_decision.user_agent_class)::text
$$;

-- Record an answer once, under the visit's and the share's locks: 'recorded', else why not (decided: another recipient was
-- first; changed: not the newest version any more, or not the content, the terms or the selection that was seen). A null
-- hash is not compared. Of p_said its maker sets the decision, the words, the content's hash, the option and how it was
-- taken.
CREATE FUNCTION scopekit.settle_decision(p_share public.shares, p_said public.share_decisions, p_terms_hash text,
                                         p_selection_hash text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_estimate  public.estimates;
    v_selection jsonb;
BEGIN
    SELECT * INTO v_estimate FROM public.estimates WHERE id = p_share.estimate_id FOR UPDATE;
    IF v_estimate.status <> 'draft' THEN
        RETURN 'decided';
    END IF;
    v_selection := scopekit.selection_of(v_estimate, coalesce(p_said.option, v_estimate.chosen_option));
    IF v_estimate.content_hash IS DISTINCT FROM p_said.content_hash
       OR scopekit.text_hash(scopekit.terms_of(p_share.tenant_id)) <> p_terms_hash
       OR p_said.decision = 'accepted' AND (v_selection IS NULL OR v_selection ->> 'hash' <> p_selection_hash)
       OR EXISTS (
        SELECT 1 FROM public.estimates WHERE visit_id = v_estimate.visit_id AND version > v_estimate.version) THEN
        RETURN 'changed';
    END IF;
    p_said.share_id := p_share.id;
    p_said.tenant_id := p_share.tenant_id;
    p_said.estimate_id := v_estimate.id;
    p_said.estimate_version := v_estimate.version;
    p_said.name := coalesce(p_said.name, '');
    p_said.message := coalesce(p_said.message, '');
    p_said.signature := coalesce(p_said.signature, '');
    p_said.user_agent_class := coalesce(p_said.user_agent_class, '');
    p_said.address_prefix := coalesce(p_said.address_prefix, '');
    p_said.decided_at := now();
    p_said.option := '';
    IF p_said.decision = 'accepted' THEN
        p_said.option := v_selection ->> 'option';
        p_said.total := (v_selection ->> 'total')::numeric;
        p_said.selection_hash := v_selection ->> 'hash';
        p_said.certificate := scopekit.certificate_of(p_said, v_estimate, (v_selection ->> 'unpriced_count')::integer);
        p_said.fingerprint := scopekit.text_hash(p_said.certificate);
    END IF;
    INSERT INTO public.share_decisions SELECT p_said.*;
    UPDATE public.estimates SET status = p_said.decision WHERE id = v_estimate.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (p_share.visit_id, p_share.tenant_id, 'share.decided',
            jsonb_build_object('share_id', p_share.id, 'recipient', p_share.recipient, 'decision', p_said.decision,
                               'estimate_id', v_estimate.id, 'version', v_estimate.version));
    RETURN 'recorded';
END $$;

-- Record the customer's answer once, as `settle_decision` does; closed: no live session.
CREATE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                      p_message text, p_content_hash text, p_terms_hash text,
                                      p_signature text, p_user_agent_class text, p_address_prefix text,
                                      p_option text, p_selection_hash text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
    v_said  public.share_decisions;
BEGIN
    SELECT * INTO v_share FROM scopekit.live_share(p_token_hash, p_session_hash);
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    -- The lock every new version takes too: an edit and a decision never pass each other.
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    -- Read again under the lock: a revocation, a new version or another link may have come first.
    SELECT s.* INTO v_share FROM public.shares s JOIN public.share_tokens t ON t.share_id = s.id
    WHERE s.id = v_share.id AND t.token_hash = p_token_hash AND s.revoked_at IS NULL
    FOR UPDATE OF s FOR KEY SHARE OF t;
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    v_said.decision := p_decision;
    v_said.name := p_name;
    v_said.message := p_message;
    v_said.content_hash := p_content_hash;
    v_said.signature := p_signature;
    v_said.user_agent_class := p_user_agent_class;
    v_said.address_prefix := p_address_prefix;
    v_said.option := p_option;
    v_said.taken := CASE WHEN v_share.in_person THEN 'in_person' ELSE 'online' END;
    RETURN scopekit.settle_decision(v_share, v_said, coalesce(p_terms_hash, ''), coalesce(p_selection_hash, ''));
END $$;

-- Record what a customer decided by phone, as a member of the company, and say so: as `settle_decision` does; unknown
-- (another company's share too), revoked.
CREATE FUNCTION public.record_decision(p_share_id uuid, p_decision text, p_name text, p_message text,
                                       p_content_hash text, p_option text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
    v_said  public.share_decisions;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE id = p_share_id AND tenant_id = public.current_tenant_id('member');
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    SELECT * INTO v_share FROM public.shares WHERE id = p_share_id FOR UPDATE;
    IF v_share.revoked_at IS NOT NULL THEN
        RETURN 'revoked';
    END IF;
    v_said.decision := p_decision;
    v_said.name := p_name;
    v_said.message := p_message;
    v_said.content_hash := p_content_hash;
    v_said.option := p_option;
    v_said.taken := 'phone';
    v_said.recorded_by := auth.uid();
    RETURN scopekit.settle_decision(v_share, v_said, NULL, NULL);
END $$;

-- A decision does not change; it goes only with its share.
CREATE FUNCTION scopekit.freeze_decisions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.shares WHERE id = OLD.share_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decision does not change' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER freeze_decisions BEFORE UPDATE OR DELETE ON public.share_decisions
    FOR EACH ROW EXECUTE FUNCTION scopekit.freeze_decisions();

-- The contractor's action ---------------------------------------------------------------------------------------------

-- Give a share another link: the new token opens it, the old ones and every session opened with them are dead at once.
-- 'rotated', else why not: unknown (another tenant's too), revoked. p_expires_in NULL leaves the end where it is. Views
-- stay counted; tries of the passcode begin anew, because a guesser at the old link has lost it.
CREATE FUNCTION public.rotate_share(p_share_id uuid, p_token_hash bytea, p_expires_in double precision)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM public.shares
    WHERE id = p_share_id AND tenant_id = public.current_tenant_id('member') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF v_share.revoked_at IS NOT NULL THEN
        RETURN 'revoked';
    END IF;
    UPDATE public.shares
    SET failed_passcodes = 0, locked_until = NULL,
        expires_at = coalesce(now() + make_interval(secs => p_expires_in), expires_at)
    WHERE id = v_share.id;
    DELETE FROM public.share_tokens WHERE share_id = v_share.id;
    INSERT INTO public.share_tokens (token_hash, share_id, tenant_id)
    VALUES (p_token_hash, v_share.id, v_share.tenant_id);
    UPDATE public.share_views SET session_expires = now() WHERE share_id = v_share.id AND session_expires > now();
    INSERT INTO public.share_activity (tenant_id, share_id, kind) VALUES (v_share.tenant_id, v_share.id, 'rotated');
    RETURN 'rotated';
END $$;
