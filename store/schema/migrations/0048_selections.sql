-- Options are the customer's to pick: an acceptance binds to its selection by a hash; also in person and by phone.

ALTER TABLE public.share_decisions
    ADD COLUMN option text NOT NULL DEFAULT '',
    ADD COLUMN total numeric(14, 2),
    ADD COLUMN selection_hash text,
    ADD COLUMN taken text NOT NULL DEFAULT 'online' CHECK (taken IN ('online', 'in_person', 'phone')),
    ADD COLUMN recorded_by uuid;
ALTER TABLE public.shares ADD COLUMN in_person boolean NOT NULL DEFAULT false;
GRANT SELECT (in_person) ON public.shares TO authenticated;

DROP FUNCTION scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text);
DROP FUNCTION scopekit.certificate_of(public.share_decisions, public.estimates);

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

REVOKE ALL ON FUNCTION scopekit.selection_of(public.estimates, text),
    scopekit.certificate_of(public.share_decisions, public.estimates, integer),
    scopekit.settle_decision(public.shares, public.share_decisions, text, text),
    scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text, text, text)
    FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.selection_of(public.estimates, text),
    scopekit.certificate_of(public.share_decisions, public.estimates, integer),
    scopekit.settle_decision(public.shares, public.share_decisions, text, text),
    scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text, text, text) TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text, text, text) TO scopekit_gateway;
REVOKE ALL ON FUNCTION public.record_decision(uuid, text, text, text, text, text) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION public.record_decision(uuid, text, text, text, text, text) TO authenticated;
