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
