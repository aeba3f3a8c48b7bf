-- The document with what branding and an acceptance add to it; else as migration 0006 made it.

-- What a customer reads, or NULL without a live session. Whoever adds a field decides that a customer may see it:
-- review reasons, confidence, matches, typed notes and original names stay inside. Money and quantities are strings.
CREATE OR REPLACE FUNCTION scopekit.share_session(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT jsonb_build_object(
        'share', jsonb_build_object('id', s.id, 'recipient', s.recipient, 'expires_at', s.expires_at),
        'business', (
            SELECT jsonb_build_object('name', t.name) || coalesce(jsonb_object_agg(p.key, p.value)
                FILTER (WHERE p.key IN ('business_name', 'address', 'phone', 'email', 'license', 'timezone', 'terms')),
                '{}') || jsonb_build_object(
                    'accent', g.accent, 'has_logo', g.logo_path IS NOT NULL,
                    'terms_hash', scopekit.text_hash(scopekit.terms_of(t.id)))
            FROM public.tenants t
            LEFT JOIN public.tenant_settings g ON g.tenant_id = t.id
            LEFT JOIN LATERAL jsonb_each_text(g.profile) p ON true
            WHERE t.id = s.tenant_id GROUP BY t.id, g.accent, g.logo_path),
        'visit', (
            SELECT jsonb_build_object('id', v.id, 'title', v.title, 'customer_name', v.customer_name,
                                      'address', v.address, 'visited_at', v.created_at)
            FROM public.site_visits v WHERE v.id = s.visit_id),
        'estimate', jsonb_build_object(
            'id', e.id, 'version', e.version, 'status', e.status, 'summary', e.summary, 'coverage', e.coverage,
            'currency', e.currency, 'subtotal', e.subtotal::text, 'tax_rate', e.tax_rate::text, 'tax', e.tax::text,
            'total', e.total::text, 'line_count', e.line_count, 'unpriced_count', e.unpriced_count,
            'content_hash', e.content_hash, 'created_at', e.created_at,
            'is_newest', NOT EXISTS (SELECT 1 FROM public.estimates n
                                     WHERE n.visit_id = e.visit_id AND n.version > e.version)),
        'lines', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'description', l.description, 'category', l.category, 'quantity', l.quantity::text, 'unit', l.unit,
                'unit_price', l.unit_price::text, 'amount', l.amount::text, 'assumptions', l.assumptions,
                'photos', (SELECT coalesce(jsonb_agg(c.id ORDER BY c.first), '[]')
                           FROM (SELECT x ->> 'media_id' AS id, min(n) AS first
                                 FROM jsonb_array_elements(l.evidence) WITH ORDINALITY AS cited(x, n)
                                 WHERE x ->> 'media_id' IS NOT NULL GROUP BY 1) c),
                'said', (SELECT coalesce(jsonb_agg(q.quote ORDER BY q.first), '[]')
                         FROM (SELECT x ->> 'quote' AS quote, min(n) AS first
                               FROM jsonb_array_elements(l.evidence) WITH ORDINALITY AS cited(x, n)
                               WHERE x ->> 'source' = 'audio' AND x ->> 'quote' <> '' GROUP BY 1) q)
                ) ORDER BY l.position), '[]')
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
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.estimates e ON e.id = s.estimate_id
$$;

-- Where the contractor's logo lies, for a live session; NULL when there is none.
CREATE FUNCTION scopekit.share_logo(p_token_hash bytea, p_session_hash bytea)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT g.logo_path FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
$$;
REVOKE ALL ON FUNCTION scopekit.share_logo(bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.share_logo(bytea, bytea) TO scopekit_gateway;
