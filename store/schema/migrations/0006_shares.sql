-- What somebody who holds a share's link may do. A customer has no tenant token, so the functions of schema scopekit
-- are the only way in: for the gateway's login alone, and each begins with the sha256 of the link's 256-bit token.
-- Nothing here lists shares, and an argument that is NULL matches nothing.

-- One decision per version of an estimate, whoever of its recipients is first.
CREATE UNIQUE INDEX share_decisions_one_per_estimate ON public.share_decisions (estimate_id);
CREATE INDEX shares_of_estimate ON public.shares (estimate_id, created_at);

-- Hashes are for comparing, never for reading: not even the tenant that owns the share can list them.
REVOKE SELECT ON public.shares, public.share_views FROM authenticated;
GRANT SELECT (id, tenant_id, visit_id, estimate_id, recipient, failed_passcodes, locked_until, max_views, views,
              expires_at, revoked_at, created_by, created_at) ON public.shares TO authenticated;
GRANT SELECT (id, tenant_id, share_id, user_agent_class, address_prefix, opened_at) ON public.share_views
    TO authenticated;
ALTER TABLE public.shares ADD COLUMN has_passcode boolean GENERATED ALWAYS AS (passcode_hash IS NOT NULL) STORED;
GRANT SELECT (has_passcode) ON public.shares TO authenticated;

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

-- The share whose link and live session these are, or no row: a session dies with its share.
CREATE FUNCTION scopekit.live_share(p_token_hash bytea, p_session_hash bytea)
    RETURNS SETOF public.shares LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT s.* FROM public.shares s JOIN public.share_views v ON v.share_id = s.id
    WHERE s.token_hash = p_token_hash AND v.session_hash = p_session_hash
      AND v.session_expires > now() AND s.expires_at > now() AND s.revoked_at IS NULL
$$;

-- The share behind a link, or no row; `live` says that the session is one of its own and still runs.
CREATE FUNCTION scopekit.share_by_token(p_token_hash bytea, p_session_hash bytea)
    RETURNS TABLE (share_id uuid, state text, has_passcode boolean, live boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT s.id, public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views), s.has_passcode,
           EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash))
    FROM public.shares s WHERE s.token_hash = p_token_hash
$$;

-- Counts one try before the passcode is checked, so that a hundred at once are still five; returns the hash to check
-- it against, or after five tries no hash and the seconds until the next. Opening the share forgets the count.
CREATE FUNCTION scopekit.try_passcode(p_token_hash bytea)
    RETURNS TABLE (passcode_hash text, retry_after integer) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
DECLARE
    c_tries CONSTANT integer := 5;
    c_lock  CONSTANT interval := '15 minutes';
    v_share public.shares;
    v_tries integer;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE token_hash = p_token_hash FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF v_share.locked_until > now() THEN
        RETURN QUERY SELECT NULL::text, ceil(extract(epoch FROM v_share.locked_until - now()))::integer;
        RETURN;
    END IF;
    v_tries := CASE WHEN v_share.locked_until IS NULL THEN v_share.failed_passcodes ELSE 0 END + 1;
    UPDATE public.shares
    SET failed_passcodes = v_tries, locked_until = CASE WHEN v_tries >= c_tries THEN now() + c_lock END
    WHERE id = v_share.id;
    RETURN QUERY SELECT v_share.passcode_hash, 0;
END $$;

-- Takes one view and begins a session: 'opened', else why not (unknown, revoked, expired, used_up, passcode; stale: the
-- session's secret was used before). p_passcode_hash is the one the caller checked a passcode against; it must still be
-- the share's. A second click on the same form brings the same secret, and takes no second view.
CREATE FUNCTION scopekit.open_share(p_token_hash bytea, p_session_hash bytea, p_passcode_hash text,
                                    p_session_seconds integer, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_share public.shares;
    v_state text;
BEGIN
    SELECT * INTO v_share FROM public.shares WHERE token_hash = p_token_hash FOR UPDATE;
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
    UPDATE public.shares SET views = views + 1, failed_passcodes = 0, locked_until = NULL WHERE id = v_share.id;
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

-- The photos that lines of an estimate cite: all a customer may see of a visit's media.
CREATE FUNCTION scopekit.cited_photos(p_estimate_id uuid)
    RETURNS SETOF public.site_visit_media LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT m.* FROM public.estimates e JOIN public.site_visit_media m ON m.visit_id = e.visit_id
    WHERE e.id = p_estimate_id AND m.media_type = 'photo' AND m.status = 'stored'
      AND EXISTS (SELECT 1 FROM public.estimate_lines l, jsonb_array_elements(l.evidence) AS cited
                  WHERE l.estimate_id = e.id AND cited ->> 'media_id' = m.id::text)
$$;

-- What a customer reads, or NULL without a live session. Whoever adds a field decides that a customer may see it:
-- review reasons, confidence, matches, typed notes and original names stay inside. Money and quantities are strings.
CREATE FUNCTION scopekit.share_session(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT jsonb_build_object(
        'share', jsonb_build_object('id', s.id, 'recipient', s.recipient, 'expires_at', s.expires_at),
        'business', (
            SELECT jsonb_build_object('name', t.name) || coalesce(jsonb_object_agg(p.key, p.value)
                FILTER (WHERE p.key IN ('business_name', 'address', 'phone', 'email', 'license', 'timezone', 'terms')),
                '{}')
            FROM public.tenants t
            LEFT JOIN public.tenant_settings g ON g.tenant_id = t.id
            LEFT JOIN LATERAL jsonb_each_text(g.profile) p ON true
            WHERE t.id = s.tenant_id GROUP BY t.id),
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
                                      'message', CASE WHEN d.share_id = s.id THEN d.message ELSE '' END)
            FROM public.share_decisions d WHERE d.estimate_id = e.id))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.estimates e ON e.id = s.estimate_id
$$;

-- One photo of the shared document, or no row: where it is kept and what it is.
CREATE FUNCTION scopekit.share_photo(p_token_hash bytea, p_session_hash bytea, p_media_id uuid)
    RETURNS TABLE (id uuid, tenant_id uuid, visit_id uuid, media_type text, content_type text, storage_path text,
                   sha256 text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT m.id, m.tenant_id, m.visit_id, m.media_type, m.content_type, m.storage_path, m.sha256
    FROM scopekit.live_share(p_token_hash, p_session_hash) s, scopekit.cited_photos(s.estimate_id) m
    WHERE m.id = p_media_id
$$;

-- Records the customer's word once: 'recorded', else why not (closed: no live session; decided: somebody was first;
-- changed: not the newest version any more, or not the content the customer saw).
CREATE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                      p_message text, p_content_hash text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_share    public.shares;
    v_estimate public.estimates;
BEGIN
    SELECT * INTO v_share FROM scopekit.live_share(p_token_hash, p_session_hash);
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    -- The lock every new version takes too: an edit and a decision never pass each other.
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    -- Read again under the lock: a revocation may have come first.
    PERFORM 1 FROM public.shares WHERE id = v_share.id AND revoked_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    SELECT * INTO v_estimate FROM public.estimates WHERE id = v_share.estimate_id FOR UPDATE;
    IF v_estimate.status <> 'draft' THEN
        RETURN 'decided';
    END IF;
    IF v_estimate.content_hash IS DISTINCT FROM p_content_hash OR EXISTS (
        SELECT 1 FROM public.estimates WHERE visit_id = v_estimate.visit_id AND version > v_estimate.version) THEN
        RETURN 'changed';
    END IF;
    INSERT INTO public.share_decisions (share_id, tenant_id, estimate_id, estimate_version, content_hash, decision,
                                        name, message, address_prefix)
    VALUES (v_share.id, v_share.tenant_id, v_estimate.id, v_estimate.version, v_estimate.content_hash, p_decision,
            coalesce(p_name, ''), coalesce(p_message, ''), coalesce(p_address_prefix, ''));
    UPDATE public.estimates SET status = p_decision WHERE id = v_estimate.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (v_share.visit_id, v_share.tenant_id, 'share.decided',
            jsonb_build_object('share_id', v_share.id, 'recipient', v_share.recipient, 'decision', p_decision,
                               'estimate_id', v_estimate.id, 'version', v_estimate.version));
    RETURN 'recorded';
END $$;

-- Rights: what a customer does runs as the gateway's login, and as no role that a token could name.
REVOKE ALL ON FUNCTION public.share_state(timestamptz, timestamptz, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.share_state(timestamptz, timestamptz, integer, integer)
    TO authenticated, service_role;
REVOKE ALL ON FUNCTION scopekit.live_share(bytea, bytea), scopekit.cited_photos(uuid) FROM PUBLIC;
DO $$
DECLARE
    v_function text;
BEGIN
    FOREACH v_function IN ARRAY ARRAY[
        'share_by_token(bytea, bytea)', 'try_passcode(bytea)',
        'open_share(bytea, bytea, text, integer, text, text)', 'share_session(bytea, bytea)',
        'share_photo(bytea, bytea, uuid)', 'decide_share(bytea, bytea, text, text, text, text, text)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION scopekit.%s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION scopekit.%s TO scopekit_gateway', v_function);
    END LOOP;
END $$;
