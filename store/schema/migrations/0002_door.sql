-- The door of a share names the company and the customer; a line that the contractor wrote or confirmed needs no review.

DROP FUNCTION scopekit.share_by_token(bytea, bytea);

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
    FROM public.shares s
    JOIN public.tenants t ON t.id = s.tenant_id
    JOIN public.site_visits v ON v.id = s.visit_id
    LEFT JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
    WHERE s.token_hash = p_token_hash
$$;
REVOKE ALL ON FUNCTION scopekit.share_by_token(bytea, bytea) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.share_by_token(bytea, bytea) TO scopekit_gateway, service_role;

-- Where the contractor's logo lies, for the door of a link that can be opened and for a live session; NULL when there is
-- none.
CREATE OR REPLACE FUNCTION scopekit.share_logo(p_token_hash bytea, p_session_hash bytea)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.logo_path FROM public.shares s
    JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
    WHERE s.token_hash = p_token_hash
      AND (public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views) = 'ready'
           OR EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)))
$$;

ALTER TABLE public.estimate_lines DROP CONSTRAINT no_evidence_needs_review;
