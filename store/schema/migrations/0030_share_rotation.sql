-- A share gets another link: the new token opens it, the old one and every session opened with it are dead at once.
-- 'rotated', else why not: unknown (another tenant's too), revoked. p_expires_in NULL leaves the end where it is. What
-- was counted stays counted; tries of the passcode begin anew, because whoever guessed at the old link has lost it.
CREATE FUNCTION public.rotate_share(p_share_id uuid, p_token_hash bytea, p_expires_in double precision)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_share public.shares;
BEGIN
    SELECT * INTO v_share FROM public.shares
    WHERE id = p_share_id AND tenant_id = public.current_tenant_id() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    IF v_share.revoked_at IS NOT NULL THEN
        RETURN 'revoked';
    END IF;
    UPDATE public.shares
    SET token_hash = p_token_hash, failed_passcodes = 0, locked_until = NULL,
        expires_at = coalesce(now() + make_interval(secs => p_expires_in), expires_at)
    WHERE id = v_share.id;
    UPDATE public.share_views SET session_expires = now() WHERE share_id = v_share.id AND session_expires > now();
    INSERT INTO public.share_activity (tenant_id, share_id, kind) VALUES (v_share.tenant_id, v_share.id, 'rotated');
    RETURN 'rotated';
END $$;
REVOKE ALL ON FUNCTION public.rotate_share(uuid, bytea, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.rotate_share(uuid, bytea, double precision) TO authenticated;

-- What happened with a share beside its opens (share_views) and its decision (share_decisions).
CREATE TABLE public.share_activity (
    id               uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id        uuid NOT NULL,
    share_id         uuid NOT NULL,
    view_id          uuid REFERENCES public.share_views ON DELETE CASCADE,  -- in which session; null: the owner's doing
    kind             text NOT NULL CHECK (kind IN ('photo', 'pdf', 'certificate', 'rotated')),
    media_id         uuid,
    user_agent_class text NOT NULL DEFAULT '',
    address_prefix   text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    happened_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT photo_iff_media CHECK ((kind = 'photo') = (media_id IS NOT NULL)),
    CONSTRAINT in_a_session_unless_owner CHECK ((kind = 'rotated') = (view_id IS NULL))
);
CREATE INDEX share_activity_of_share ON public.share_activity (share_id, happened_at);
-- Once a session and thing: a reader who pages back and forth neither fills the timeline nor the table.
CREATE UNIQUE INDEX share_activity_once ON public.share_activity (view_id, kind, media_id) NULLS NOT DISTINCT
    WHERE view_id IS NOT NULL;

ALTER TABLE public.share_activity ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.share_activity FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.share_activity TO service_role;
GRANT SELECT ON public.share_activity TO authenticated;
CREATE POLICY of_own_tenant ON public.share_activity TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id()));

-- Notes what a live session looked at; without one nothing happens.
CREATE FUNCTION scopekit.note_activity(p_token_hash bytea, p_session_hash bytea, p_kind text, p_media_id uuid,
                                       p_user_agent_class text, p_address_prefix text)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    INSERT INTO public.share_activity (tenant_id, share_id, view_id, kind, media_id, user_agent_class, address_prefix)
    SELECT s.tenant_id, s.id, v.id, p_kind, p_media_id, p_user_agent_class, p_address_prefix
    FROM scopekit.live_share(p_token_hash, p_session_hash) s
    JOIN public.share_views v ON v.share_id = s.id AND v.session_hash = p_session_hash
    ON CONFLICT DO NOTHING
$$;

-- What an open page asks now and then: {version, newest, decision}, or NULL without a live session.
CREATE FUNCTION scopekit.share_news(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT jsonb_build_object(
        'version', e.version,
        'newest', (SELECT max(n.version) FROM public.estimates n WHERE n.visit_id = e.visit_id),
        'decision', (SELECT d.decision FROM public.share_decisions d WHERE d.estimate_id = e.id))
    FROM scopekit.live_share(p_token_hash, p_session_hash) s JOIN public.estimates e ON e.id = s.estimate_id
$$;

DO $$
DECLARE
    v_function text;
BEGIN
    FOREACH v_function IN ARRAY ARRAY[
        'note_activity(bytea, bytea, text, uuid, text, text)', 'share_news(bytea, bytea)'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION scopekit.%s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION scopekit.%s TO scopekit_gateway', v_function);
    END LOOP;
END $$;
