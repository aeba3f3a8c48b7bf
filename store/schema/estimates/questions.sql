-- Questions about an offer: a customer asks, the contractor answers, and the offer stays open.

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
