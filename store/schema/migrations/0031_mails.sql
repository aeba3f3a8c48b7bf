-- A share may hold several links, and a company mails them.

-- The links of a share: the one that its maker was shown, and one for each mail that carried it. All end with the share.
CREATE TABLE public.share_tokens (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- the token itself is shown, or mailed, once
    share_id   uuid NOT NULL,
    tenant_id  uuid NOT NULL,
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX share_tokens_of_share ON public.share_tokens (share_id);

INSERT INTO public.share_tokens (token_hash, share_id, tenant_id) SELECT token_hash, id, tenant_id FROM public.shares;
ALTER TABLE public.shares DROP COLUMN token_hash;

-- The share whose link and live session these are, or no row: a session dies with its share.
CREATE OR REPLACE FUNCTION scopekit.live_share(p_token_hash bytea, p_session_hash bytea)
    RETURNS SETOF public.shares LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.* FROM public.share_tokens t JOIN public.shares s ON s.id = t.share_id
    JOIN public.share_views v ON v.share_id = s.id
    WHERE t.token_hash = p_token_hash AND v.session_hash = p_session_hash
      AND v.session_expires > now() AND s.expires_at > now() AND s.revoked_at IS NULL
$$;

-- The share behind a link, or no row; `live` says that the session is one of its own and still runs. Of the document the
-- door says whose it is and for whom, and with a passcode only whose: link previews read the door.
CREATE OR REPLACE FUNCTION scopekit.share_by_token(p_token_hash bytea, p_session_hash bytea)
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
CREATE OR REPLACE FUNCTION scopekit.tenant_of_share(p_token_hash bytea)
    RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.tenant_id FROM public.share_tokens t WHERE t.token_hash = p_token_hash
$$;

-- Count one try before the passcode is checked, so that a hundred at once are still five. Returns the hash to check it
-- against, or no hash and the seconds until the next try. Wrong tries count over the life of the link, whoever opens it
-- between them: each five lock it, for 15 minutes and then four times as long as before, so that a guesser has 45 tries
-- in a year of 10,000 codes of four digits. The contractor reads of each lock in the share's story.
CREATE OR REPLACE FUNCTION scopekit.try_passcode(p_token_hash bytea)
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
CREATE OR REPLACE FUNCTION scopekit.open_share(p_token_hash bytea, p_session_hash bytea, p_passcode_hash text,
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

-- Where the contractor's logo lies, for the door of a link that can be opened and for a live session; NULL when there is
-- none.
CREATE OR REPLACE FUNCTION scopekit.share_logo(p_token_hash bytea, p_session_hash bytea)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.logo_path FROM public.share_tokens t
    JOIN public.shares s ON s.id = t.share_id
    JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
    WHERE t.token_hash = p_token_hash
      AND (public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views) = 'ready'
           OR EXISTS (SELECT 1 FROM scopekit.live_share(p_token_hash, p_session_hash)))
$$;

-- Record the customer's answer once: 'recorded', else why not (closed: no live session; decided: another recipient was
-- first; changed: not the newest version any more, or not the content or the terms the customer saw).
CREATE OR REPLACE FUNCTION scopekit.decide_share(p_token_hash bytea, p_session_hash bytea, p_decision text, p_name text,
                                      p_message text, p_content_hash text, p_terms_hash text,
                                      p_signature text, p_user_agent_class text, p_address_prefix text)
    RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
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
    PERFORM 1 FROM public.shares s JOIN public.share_tokens t ON t.share_id = s.id
    WHERE s.id = v_share.id AND t.token_hash = p_token_hash AND s.revoked_at IS NULL
    FOR UPDATE OF s FOR KEY SHARE OF t;
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

-- Give a share another link: the new token opens it, the old ones and every session opened with them are dead at once.
-- 'rotated', else why not: unknown (another tenant's too), revoked. p_expires_in NULL leaves the end where it is. Views
-- stay counted; tries of the passcode begin anew, because a guesser at the old link has lost it.
CREATE OR REPLACE FUNCTION public.rotate_share(p_share_id uuid, p_token_hash bytea, p_expires_in double precision)
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

-- Mails of companies, and what became of each. The job of a mail has the mail's id, which also stands in its Message-ID: a
-- mail that a crash makes a worker send twice is one message to whoever receives it.

-- A mail. The link that it carries is made when it is sent.
CREATE TABLE public.mails (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('estimate')),
    visit_id   uuid NOT NULL,
    share_id   uuid NOT NULL,
    address    text NOT NULL CHECK (length(address) <= 254),
    message    text NOT NULL DEFAULT '' CHECK (length(message) <= 2000),  -- the company's own words
    state      text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
    reason     text NOT NULL DEFAULT '',  -- why it failed, in a sentence
    created_by uuid,
    queued_at  timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (share_id, tenant_id) REFERENCES public.shares (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT settled_iff_over CHECK ((state = 'queued') = (settled_at IS NULL)),
    CONSTRAINT failed_says_why CHECK ((state = 'failed') = (reason <> ''))
);
CREATE INDEX mails_of_share ON public.mails (share_id, queued_at);
CREATE INDEX mails_of_visit ON public.mails (visit_id);
CREATE INDEX mails_of_tenant ON public.mails (tenant_id);

-- The job that sends a new mail.
CREATE FUNCTION scopekit.queue_new_mail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.jobs (id, job_type, payload)
    VALUES (NEW.id, 'mail', jsonb_build_object('mail', 'letter', 'about', NEW.id, 'queued_at', clock_timestamp()));
    RETURN NULL;
END $$;

CREATE TRIGGER queue_new_mail AFTER INSERT ON public.mails
    FOR EACH ROW EXECUTE FUNCTION scopekit.queue_new_mail();

-- Queue a mail of a share's link: queued and its id, or why not: unknown (another tenant's too), closed, or outdated and
-- the id of the newest version of the estimate.
CREATE FUNCTION public.mail_share(p_share_id uuid, p_address text, p_message text)
    RETURNS TABLE (outcome text, id uuid) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_share  public.shares;
    v_newest uuid;
    v_mail   uuid;
BEGIN
    SELECT * INTO v_share FROM public.shares s
    WHERE s.id = p_share_id AND s.tenant_id = public.current_tenant_id('member');
    SELECT e.id INTO v_newest FROM public.estimates e WHERE e.visit_id = v_share.visit_id ORDER BY e.version DESC LIMIT 1;
    IF v_share.id IS NULL THEN
        RETURN QUERY SELECT 'unknown', NULL::uuid;
    ELSIF public.share_state(v_share.revoked_at, v_share.expires_at, v_share.views, v_share.max_views) <> 'ready' THEN
        RETURN QUERY SELECT 'closed', NULL::uuid;
    ELSIF v_share.estimate_id <> v_newest THEN
        RETURN QUERY SELECT 'outdated', v_newest;
    ELSE
        INSERT INTO public.mails (tenant_id, kind, visit_id, share_id, address, message, created_by)
        VALUES (v_share.tenant_id, 'estimate', v_share.visit_id, v_share.id, p_address, p_message,
                nullif(auth.jwt() ->> 'sub', '')::uuid)
        RETURNING mails.id INTO v_mail;
        RETURN QUERY SELECT 'queued', v_mail;
    END IF;
END $$;

-- Give a share one more link, for a mail; false for a share that is over.
CREATE FUNCTION scopekit.add_share_token(p_share_id uuid, p_token_hash bytea) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.share_tokens (token_hash, share_id, tenant_id)
    SELECT p_token_hash, s.id, s.tenant_id FROM public.shares s
    WHERE s.id = p_share_id
      AND public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views) = 'ready';
    RETURN FOUND;
END $$;

-- Write down what became of a mail, and tell its visit: sent, or failed for a reason.
CREATE FUNCTION scopekit.settle_mail(p_id uuid, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_mail public.mails;
BEGIN
    UPDATE public.mails
    SET state = CASE p_reason WHEN '' THEN 'sent' ELSE 'failed' END, reason = p_reason, settled_at = now()
    WHERE id = p_id RETURNING * INTO v_mail;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    SELECT v_mail.visit_id, v_mail.tenant_id, 'share.mailed',
           jsonb_build_object('share_id', s.id, 'recipient', s.recipient, 'state', v_mail.state)
    FROM public.shares s WHERE s.id = v_mail.share_id;
END $$;

-- A mail whose job is given up has failed; nobody is told at once, for a sweep waits for no visit.
CREATE FUNCTION scopekit.fail_dead_mail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.mails SET state = 'failed', settled_at = now(),
                            reason = coalesce(nullif(NEW.last_error, ''), 'The mail could not be sent.')
    WHERE id = NEW.original_job_id AND state = 'queued';
    RETURN NULL;
END $$;

CREATE TRIGGER fail_dead_mail AFTER INSERT ON public.jobs_dlq FOR EACH ROW WHEN (NEW.job_type = 'mail')
    EXECUTE FUNCTION scopekit.fail_dead_mail();

-- Rights ------------------------------------------------------------------------------------------------------------

ALTER TABLE public.share_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.mails ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.share_tokens, public.mails FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.share_tokens, public.mails TO service_role;
GRANT INSERT ON public.share_tokens TO authenticated;
GRANT SELECT (share_id, tenant_id) ON public.share_tokens TO authenticated;
GRANT SELECT ON public.mails TO authenticated;
CREATE POLICY select_as_viewer ON public.share_tokens FOR SELECT TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('viewer')));
CREATE POLICY insert_as_member ON public.share_tokens FOR INSERT TO authenticated
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY update_as_member ON public.share_tokens FOR UPDATE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY delete_as_member ON public.share_tokens FOR DELETE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY select_as_viewer ON public.mails FOR SELECT TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('viewer')));
CREATE POLICY insert_as_member ON public.mails FOR INSERT TO authenticated
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY update_as_member ON public.mails FOR UPDATE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));
CREATE POLICY delete_as_member ON public.mails FOR DELETE TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id('member')));

REVOKE ALL ON FUNCTION public.mail_share(uuid, text, text) FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION public.mail_share(uuid, text, text) TO authenticated;
REVOKE ALL ON FUNCTION scopekit.queue_new_mail(), scopekit.add_share_token(uuid, bytea), scopekit.settle_mail(uuid, text),
    scopekit.fail_dead_mail() FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.queue_new_mail(), scopekit.add_share_token(uuid, bytea), scopekit.settle_mail(uuid, text),
    scopekit.fail_dead_mail() TO service_role;
