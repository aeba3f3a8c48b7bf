-- Questions and answers on a share, and the next version under the same link: a decision is one per share and version.

ALTER TABLE public.share_decisions DROP CONSTRAINT share_decisions_pkey;
ALTER TABLE public.share_decisions ADD PRIMARY KEY (share_id, estimate_id);
ALTER TABLE public.share_activity DROP CONSTRAINT share_activity_kind_check;
ALTER TABLE public.share_activity ADD CONSTRAINT share_activity_kind_check
    CHECK (kind IN ('photo', 'pdf', 'certificate', 'rotated', 'locked', 'version'));
ALTER TABLE public.share_activity DROP CONSTRAINT in_a_session_or_outside;
ALTER TABLE public.share_activity ADD CONSTRAINT in_a_session_or_outside
    CHECK ((kind IN ('rotated', 'locked', 'version')) = (view_id IS NULL));

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

-- A message is kept, and the visit's stream hears of it.
CREATE FUNCTION scopekit.add_question(p_share public.shares, p_kind text, p_name text, p_body text,
                                      p_user_agent_class text, p_address_prefix text)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.share_questions (tenant_id, share_id, kind, name, body, user_agent_class, address_prefix,
                                        created_by)
    VALUES (p_share.tenant_id, p_share.id, p_kind, p_name, p_body, p_user_agent_class, p_address_prefix,
            CASE p_kind WHEN 'answer' THEN auth.uid() END);
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (p_share.visit_id, p_share.tenant_id, 'share.' || p_kind,
            jsonb_build_object('share_id', p_share.id, 'recipient', p_share.recipient));
END $$;

-- Ask as the customer of a live session: 'recorded', 'closed' without one, 'full' once a thread has 200 messages.
CREATE FUNCTION scopekit.ask_question(p_token_hash bytea, p_session_hash bytea, p_name text, p_body text,
                                      p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_most  CONSTANT integer := 200;
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM scopekit.live_share(p_token_hash, p_session_hash);
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    PERFORM 1 FROM public.shares WHERE id = v_share.id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM public.share_questions WHERE share_id = v_share.id) >= c_most THEN
        RETURN 'full';
    END IF;
    PERFORM scopekit.add_question(v_share, 'question', coalesce(p_name, ''), p_body, coalesce(p_user_agent_class, ''),
                                  coalesce(p_address_prefix, ''));
    RETURN 'recorded';
END $$;

-- Answer as a member of the company; false for another company's share.
CREATE FUNCTION public.answer_question(p_share_id uuid, p_body text)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE id = p_share_id AND tenant_id = public.current_tenant_id('member');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM scopekit.add_question(v_share, 'answer', '', p_body, '', '');
    RETURN true;
END $$;

-- Send the visit's newest version with the same link: 'moved', else why not: unknown (another company's too), revoked,
-- accepted (what was accepted stays), outdated (not the newest). A decision is about one version, so the next is open.
CREATE FUNCTION public.send_version(p_share_id uuid, p_estimate_id uuid)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE id = p_share_id AND tenant_id = public.current_tenant_id('member');
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    -- In the order of a decision's locks: a decision and a new version never pass each other.
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    SELECT * INTO v_share FROM public.shares WHERE id = p_share_id FOR UPDATE;
    IF v_share.revoked_at IS NOT NULL THEN
        RETURN 'revoked';
    END IF;
    IF EXISTS (SELECT 1 FROM public.share_decisions WHERE share_id = v_share.id AND decision = 'accepted') THEN
        RETURN 'accepted';
    END IF;
    IF p_estimate_id IS DISTINCT FROM (SELECT id FROM public.estimates WHERE visit_id = v_share.visit_id
                                       ORDER BY version DESC LIMIT 1) THEN
        RETURN 'outdated';
    END IF;
    IF v_share.estimate_id <> p_estimate_id THEN
        UPDATE public.shares SET estimate_id = p_estimate_id WHERE id = v_share.id;
        INSERT INTO public.share_activity (tenant_id, share_id, kind) VALUES (v_share.tenant_id, v_share.id, 'version');
    END IF;
    RETURN 'moved';
END $$;

CREATE OR REPLACE FUNCTION public.visit_state(p_visit_id uuid, p_status text) RETURNS text LANGUAGE sql STABLE AS $$
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

CREATE OR REPLACE FUNCTION scopekit.document_of(p_estimate_id uuid, p_share_id uuid)
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

CREATE OR REPLACE FUNCTION scopekit.share_updates(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'version', e.version,
        'newest', (SELECT max(n.version) FROM public.estimates n WHERE n.visit_id = e.visit_id),
        'decision', (SELECT d.decision FROM public.share_decisions d WHERE d.estimate_id = e.id),
        'messages', jsonb_array_length(scopekit.thread_of(s.id)))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s JOIN public.estimates e ON e.id = s.estimate_id
$$;


ALTER TABLE public.share_questions ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.share_questions FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.share_questions TO service_role;
GRANT SELECT ON public.share_questions TO authenticated;
CREATE POLICY select_as_viewer ON public.share_questions FOR SELECT TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('viewer')));
CREATE POLICY insert_as_member ON public.share_questions FOR INSERT TO authenticated
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY update_as_member ON public.share_questions FOR UPDATE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY delete_as_member ON public.share_questions FOR DELETE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));

REVOKE ALL ON FUNCTION scopekit.thread_of(uuid), scopekit.ask_question(bytea, bytea, text, text, text, text),
    scopekit.add_question(public.shares, text, text, text, text, text)
    FROM PUBLIC, anon, authenticated, scopekit_gateway;
REVOKE ALL ON FUNCTION public.answer_question(uuid, text), public.send_version(uuid, uuid)
    FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.thread_of(uuid), scopekit.ask_question(bytea, bytea, text, text, text, text),
    scopekit.add_question(public.shares, text, text, text, text, text) TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.ask_question(bytea, bytea, text, text, text, text) TO scopekit_gateway;
GRANT EXECUTE ON FUNCTION public.answer_question(uuid, text), public.send_version(uuid, uuid) TO authenticated;
