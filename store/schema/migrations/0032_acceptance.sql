-- What an acceptance leaves behind: a drawn or typed signature, and a certificate of who accepted what and when.
-- The path of a drawn signature: strokes within 600 x 200, whole numbers, straight lines.
ALTER TABLE public.share_decisions
    ADD COLUMN signature        text NOT NULL DEFAULT ''
        CHECK (length(signature) <= 12000 AND signature ~ '^(M\d{1,3} \d{1,3}(L\d{1,3} \d{1,3})+)*$'),
    ADD COLUMN user_agent_class text NOT NULL DEFAULT '',
    ADD COLUMN certificate      text,  -- the exact text whose sha256 the fingerprint is
    ADD COLUMN fingerprint      text,
    ADD CONSTRAINT fingerprint_of_certificate CHECK (
        fingerprint IS NOT DISTINCT FROM encode(sha256(convert_to(certificate, 'UTF8')), 'hex'));

-- The terms a tenant's offers stand under now. What was accepted keeps its own in the certificate.
CREATE FUNCTION scopekit.terms_of(p_tenant_id uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT coalesce((SELECT profile ->> 'terms' FROM public.tenant_settings WHERE tenant_id = p_tenant_id), '')
$$;
CREATE FUNCTION scopekit.text_hash(p_text text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT encode(sha256(convert_to(p_text, 'UTF8')), 'hex')
$$;

-- The certificate's text. A moment is UTC to the microsecond; what the customer drew stands in it as its hash.
CREATE FUNCTION scopekit.certificate_of(p_decision public.share_decisions, p_estimate public.estimates)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT jsonb_build_object(
        'what', 'Acceptance of an estimate',
        'estimate_id', p_estimate.id, 'visit_id', p_estimate.visit_id, 'version', p_estimate.version,
        'content_hash', p_estimate.content_hash, 'total', p_estimate.total::text, 'currency', p_estimate.currency,
        'unpriced_count', p_estimate.unpriced_count,
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

-- Records the customer's word once: 'recorded', else why not (closed: no live session; decided: somebody was first;
-- changed: not the newest version any more, or not the content or the terms the customer saw).
CREATE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                      p_message text, p_content_hash text, p_terms_hash text,
                                      p_signature text, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_share    public.shares;
    v_estimate public.estimates;
    v_decision public.share_decisions;
BEGIN
    SELECT * INTO v_share FROM scopekit.live_share(p_token_hash, p_session_hash);
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    -- The lock every new version takes too: an edit and a decision never pass each other.
    PERFORM 1 FROM public.site_visits WHERE id = v_share.visit_id FOR NO KEY UPDATE;
    -- Read again under the lock: a revocation or another link may have come first.
    PERFORM 1 FROM public.shares WHERE id = v_share.id AND token_hash = p_token_hash AND revoked_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    SELECT * INTO v_estimate FROM public.estimates WHERE id = v_share.estimate_id FOR UPDATE;
    IF v_estimate.status <> 'draft' THEN
        RETURN 'decided';
    END IF;
    IF v_estimate.content_hash IS DISTINCT FROM p_content_hash
       OR scopekit.text_hash(scopekit.terms_of(v_share.tenant_id)) IS DISTINCT FROM p_terms_hash OR EXISTS (
        SELECT 1 FROM public.estimates WHERE visit_id = v_estimate.visit_id AND version > v_estimate.version) THEN
        RETURN 'changed';
    END IF;
    v_decision.share_id := v_share.id;
    v_decision.tenant_id := v_share.tenant_id;
    v_decision.estimate_id := v_estimate.id;
    v_decision.estimate_version := v_estimate.version;
    v_decision.content_hash := v_estimate.content_hash;
    v_decision.decision := p_decision;
    v_decision.name := coalesce(p_name, '');
    v_decision.message := coalesce(p_message, '');
    v_decision.signature := coalesce(p_signature, '');
    v_decision.user_agent_class := coalesce(p_user_agent_class, '');
    v_decision.address_prefix := coalesce(p_address_prefix, '');
    v_decision.decided_at := now();
    IF p_decision = 'accepted' THEN
        v_decision.certificate := scopekit.certificate_of(v_decision, v_estimate);
        v_decision.fingerprint := scopekit.text_hash(v_decision.certificate);
    END IF;
    INSERT INTO public.share_decisions SELECT v_decision.*;
    UPDATE public.estimates SET status = p_decision WHERE id = v_estimate.id;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    VALUES (v_share.visit_id, v_share.tenant_id, 'share.decided',
            jsonb_build_object('share_id', v_share.id, 'recipient', v_share.recipient, 'decision', p_decision,
                               'estimate_id', v_estimate.id, 'version', v_estimate.version));
    RETURN 'recorded';
END $$;

-- As the gateway before this migration calls it, while it still runs beside the new one.
CREATE OR REPLACE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                                 p_message text, p_content_hash text, p_address_prefix text)
    RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT scopekit.decide_share(p_token_hash, p_session_hash, p_decision, p_name, p_message, p_content_hash,
        (SELECT scopekit.text_hash(scopekit.terms_of(s.tenant_id))
         FROM scopekit.live_share(p_token_hash, p_session_hash) s), '', '', p_address_prefix)
$$;

-- A decided version stays as it was decided on, whoever asks and whatever code path. An edit makes the next version,
-- which has a share and a decision of its own. A visit that goes takes all of it along.
CREATE FUNCTION scopekit.keep_decided() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.site_visits v
                                        WHERE v.id = (to_jsonb(OLD) ->> 'visit_id')::uuid) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_decided BEFORE UPDATE OR DELETE ON public.estimates
    FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION scopekit.keep_decided();

CREATE FUNCTION scopekit.keep_decided_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    -- The line's estimate before and after; in a cascade it is gone already.
    IF EXISTS (SELECT 1 FROM public.estimates e
               WHERE e.status <> 'draft' AND e.id IN (OLD.estimate_id, NEW.estimate_id)) THEN
        RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER keep_decided_lines BEFORE INSERT OR UPDATE OR DELETE ON public.estimate_lines
    FOR EACH ROW EXECUTE FUNCTION scopekit.keep_decided_lines();

CREATE FUNCTION scopekit.keep_decisions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.shares WHERE id = OLD.share_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decision does not change' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_decisions BEFORE UPDATE OR DELETE ON public.share_decisions
    FOR EACH ROW EXECUTE FUNCTION scopekit.keep_decisions();

REVOKE ALL ON FUNCTION scopekit.terms_of(uuid), scopekit.text_hash(text),
                       scopekit.certificate_of(public.share_decisions, public.estimates), scopekit.keep_decided(),
                       scopekit.keep_decided_lines(), scopekit.keep_decisions() FROM PUBLIC;
REVOKE ALL ON FUNCTION scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.decide_share(bytea, bytea, text, text, text, text, text, text, text, text)
    TO scopekit_gateway;
