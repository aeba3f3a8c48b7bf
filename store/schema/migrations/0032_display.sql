-- What the customer sees is the contractor's choice: by company, and by share.

ALTER TABLE public.tenant_settings
    ADD COLUMN display jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(display) = 'object');
ALTER TABLE public.shares ADD COLUMN display jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(display) = 'object');
GRANT SELECT (display), UPDATE (display) ON public.shares TO authenticated;
GRANT UPDATE (display) ON public.tenant_settings TO authenticated;

DROP FUNCTION scopekit.share_document(bytea, bytea);
DROP FUNCTION scopekit.share_session(bytea, bytea);

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
            FROM public.share_decisions d WHERE d.estimate_id = e.id))
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
CREATE OR REPLACE FUNCTION scopekit.share_photo(p_token_hash bytea, p_session_hash bytea, p_media_id uuid)
    RETURNS TABLE (id uuid, tenant_id uuid, visit_id uuid, media_type text, content_type text, storage_path text,
                   sha256 text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.id, m.tenant_id, m.visit_id, m.media_type, m.content_type, m.storage_path, m.sha256
    FROM scopekit.live_share(p_token_hash, p_session_hash) s, scopekit.cited_photos(s.estimate_id) m
    WHERE m.id = p_media_id AND coalesce((s.display ->> 'photos')::boolean, true)
      AND NOT coalesce(s.display -> 'hidden_photos' ? m.id::text, false)
$$;

REVOKE ALL ON FUNCTION scopekit.document_of(uuid, uuid) FROM PUBLIC, anon, authenticated, scopekit_gateway;
REVOKE ALL ON FUNCTION scopekit.share_document(bytea, bytea) FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION scopekit.preview_document(uuid) FROM PUBLIC, anon, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.document_of(uuid, uuid) TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.share_document(bytea, bytea) TO scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.preview_document(uuid) TO authenticated, service_role;
