-- Mails to a company's own people and to operators, and reminders to customers.

ALTER TABLE public.mails DROP CONSTRAINT mails_kind_check;
ALTER TABLE public.mails ADD CONSTRAINT mails_kind_check CHECK (
    kind IN ('estimate', 'reminder', 'opened', 'question', 'changes_requested', 'accepted', 'declined', 'estimate_failed'));
ALTER TABLE public.mails ALTER COLUMN share_id DROP NOT NULL, ALTER COLUMN address DROP NOT NULL;
ALTER TABLE public.mails ADD COLUMN user_id uuid REFERENCES public.users ON DELETE CASCADE;
ALTER TABLE public.mails
    ADD CONSTRAINT to_a_customer_or_a_user CHECK ((address IS NULL) <> (user_id IS NULL)),
    ADD CONSTRAINT a_customers_is_of_a_share CHECK (
        (kind IN ('estimate', 'reminder')) = (address IS NOT NULL) AND (address IS NULL OR share_id IS NOT NULL));
CREATE INDEX mails_of_user ON public.mails (user_id);
ALTER TABLE public.memberships
    ADD COLUMN notifications jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(notifications) = 'object');
ALTER TABLE public.tenant_settings
    ADD COLUMN remind_unopened_days integer DEFAULT 3 CHECK (remind_unopened_days BETWEEN 1 AND 60),
    ADD COLUMN remind_unanswered_days integer DEFAULT 5 CHECK (remind_unanswered_days BETWEEN 1 AND 60);
ALTER TABLE public.shares ADD COLUMN reminders boolean NOT NULL DEFAULT true;

-- Write down what became of a mail, and tell its visit: sent, or failed for a reason.
CREATE OR REPLACE FUNCTION scopekit.settle_mail(p_id uuid, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_mail public.mails;
BEGIN
    UPDATE public.mails
    SET state = CASE p_reason WHEN '' THEN 'sent' ELSE 'failed' END, reason = p_reason, settled_at = now()
    WHERE id = p_id RETURNING * INTO v_mail;
    INSERT INTO public.processing_events (visit_id, tenant_id, type, payload)
    SELECT v_mail.visit_id, v_mail.tenant_id, 'share.mailed',
           jsonb_build_object('share_id', s.id, 'recipient', s.recipient, 'state', v_mail.state)
    FROM public.shares s WHERE s.id = v_mail.share_id AND v_mail.address IS NOT NULL;
END $$;

-- Notices -------------------------------------------------------------------------------------------------------------

-- Queue a mail to each of a company's people who wants one about this: p_maker is whose link or estimate it is. A topic is
-- off, mine or all for each person; who has chosen nothing gets their own, and an owner everybody's. What nobody of the
-- company made, or somebody who has left, goes to its owners.
CREATE FUNCTION scopekit.notify_people(p_topic text, p_tenant_id uuid, p_visit_id uuid, p_share_id uuid, p_maker uuid)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.mails (tenant_id, kind, visit_id, share_id, user_id)
    SELECT p_tenant_id, p_topic, p_visit_id, p_share_id, m.user_id
    FROM public.memberships m JOIN public.users u ON u.id = m.user_id
    WHERE m.tenant_id = p_tenant_id AND u.email IS NOT NULL
      AND CASE coalesce(m.notifications ->> p_topic, CASE m.role WHEN 'owner' THEN 'all' ELSE 'mine' END)
          WHEN 'all' THEN true
          WHEN 'mine' THEN m.user_id = p_maker OR (m.role = 'owner' AND NOT EXISTS (
              SELECT 1 FROM public.memberships o WHERE o.tenant_id = p_tenant_id AND o.user_id = p_maker))
          ELSE false END
$$;

-- A link is opened for the first time.
CREATE FUNCTION scopekit.notify_of_view() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.notify_people('opened', s.tenant_id, s.visit_id, s.id, s.created_by)
    FROM public.shares s
    WHERE s.id = NEW.share_id AND NOT EXISTS (
        SELECT 1 FROM public.share_views v WHERE v.share_id = NEW.share_id AND v.id <> NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER notify_of_view AFTER INSERT ON public.share_views
    FOR EACH ROW EXECUTE FUNCTION scopekit.notify_of_view();

-- A customer answers: accepted, declined or changes_requested.
CREATE FUNCTION scopekit.notify_of_decision() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.notify_people(NEW.decision, s.tenant_id, s.visit_id, s.id, s.created_by)
    FROM public.shares s WHERE s.id = NEW.share_id;
    RETURN NULL;
END $$;

CREATE TRIGGER notify_of_decision AFTER INSERT ON public.share_decisions
    FOR EACH ROW EXECUTE FUNCTION scopekit.notify_of_decision();

-- A customer asks.
CREATE FUNCTION scopekit.notify_of_question() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.notify_people('question', s.tenant_id, s.visit_id, s.id, s.created_by)
    FROM public.shares s WHERE s.id = NEW.share_id;
    RETURN NULL;
END $$;

CREATE TRIGGER notify_of_question AFTER INSERT ON public.share_questions FOR EACH ROW WHEN (NEW.kind = 'question')
    EXECUTE FUNCTION scopekit.notify_of_question();

-- An estimate fails for good.
CREATE FUNCTION scopekit.notify_of_failure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM scopekit.notify_people('estimate_failed', NEW.tenant_id, NEW.visit_id, NULL,
                                   (NEW.job ->> 'created_by')::uuid);
    RETURN NULL;
END $$;

CREATE TRIGGER notify_of_failure AFTER INSERT ON public.jobs_dlq FOR EACH ROW WHEN (NEW.job_type = 'estimate')
    EXECUTE FUNCTION scopekit.notify_of_failure();

-- What the caller gets from the company they act for: their choice of each topic, and their role.
CREATE FUNCTION scopekit.own_notifications() RETURNS TABLE (role text, choices jsonb) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.role, m.notifications FROM public.memberships m
    WHERE m.tenant_id = public.current_tenant_id() AND m.user_id = nullif(auth.jwt() ->> 'sub', '')::uuid
$$;

-- Choose it; false where the caller acts for no company.
CREATE FUNCTION scopekit.choose_notifications(p_choices jsonb) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.memberships SET notifications = p_choices
    WHERE tenant_id = public.current_tenant_id() AND user_id = nullif(auth.jwt() ->> 'sub', '')::uuid;
    RETURN FOUND;
END $$;

-- Reminders -----------------------------------------------------------------------------------------------------------

-- Queue a reminder to each customer who was mailed a link and has not opened or answered it for the company's days; at most
-- two a link, where it is not off. Returns how many. A company that sets no days sends none.
CREATE FUNCTION scopekit.queue_reminders() RETURNS bigint LANGUAGE sql AS $$
    WITH queued AS (
        INSERT INTO public.mails (tenant_id, kind, visit_id, share_id, address)
        SELECT s.tenant_id, 'reminder', s.visit_id, s.id, mailed.address
        FROM public.shares s
        JOIN public.tenant_settings g ON g.tenant_id = s.tenant_id
        JOIN public.estimates e ON e.id = s.estimate_id AND e.status = 'draft'
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.kind = 'reminder') AS reminders, max(m.queued_at) AS last_at,
                   (array_agg(m.address ORDER BY m.queued_at DESC) FILTER (WHERE m.state = 'sent'))[1] AS address
            FROM public.mails m WHERE m.share_id = s.id AND m.address IS NOT NULL) AS mailed
        WHERE s.reminders AND mailed.address IS NOT NULL AND mailed.reminders < 2
          AND public.share_state(s.revoked_at, s.expires_at, s.views, s.max_views) = 'ready'
          AND NOT EXISTS (SELECT 1 FROM public.estimates n WHERE n.visit_id = e.visit_id AND n.version > e.version)
          AND now() >= CASE s.views
              WHEN 0 THEN mailed.last_at + make_interval(days => g.remind_unopened_days)
              ELSE greatest(mailed.last_at, (SELECT max(v.opened_at) FROM public.share_views v WHERE v.share_id = s.id))
                   + make_interval(days => g.remind_unanswered_days) END
        RETURNING 1)
    SELECT count(*) FROM queued
$$;

-- Operators -----------------------------------------------------------------------------------------------------------

-- Queue a mail to each operator with an address: an alert begins or ends.
CREATE FUNCTION scopekit.queue_alert_mails(p_alert text, p_firing boolean, p_value double precision) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO public.jobs (job_type, payload)
    SELECT 'mail', jsonb_build_object('mail', 'alert', 'about', o.user_id, 'alert', p_alert, 'firing', p_firing,
                                      'value', p_value, 'queued_at', clock_timestamp())
    FROM public.operators o JOIN public.users u ON u.id = o.user_id WHERE u.email IS NOT NULL
$$;

-- Where nobody sends mails, none waits for ever: what has waited for a week has failed, and its job goes.
CREATE FUNCTION scopekit.prune_mails() RETURNS void LANGUAGE sql AS $$
    UPDATE public.mails SET state = 'failed', reason = 'No mail server took it within a week.', settled_at = now()
    WHERE state = 'queued' AND queued_at < now() - interval '7 days';
    DELETE FROM public.jobs
    WHERE job_type = 'mail' AND status = 'queued' AND created_at < now() - interval '7 days'
$$;

-- Rights ------------------------------------------------------------------------------------------------------------

GRANT UPDATE (remind_unopened_days, remind_unanswered_days) ON public.tenant_settings TO authenticated;
GRANT SELECT (reminders) ON public.shares TO authenticated;
GRANT UPDATE (reminders) ON public.shares TO authenticated;
CREATE POLICY customers_alone ON public.mails AS RESTRICTIVE FOR SELECT TO authenticated USING (user_id IS NULL);

REVOKE ALL ON FUNCTION scopekit.notify_people(text, uuid, uuid, uuid, uuid), scopekit.notify_of_view(),
    scopekit.notify_of_decision(), scopekit.notify_of_question(), scopekit.notify_of_failure(), scopekit.own_notifications(),
    scopekit.choose_notifications(jsonb), scopekit.queue_reminders(),
    scopekit.queue_alert_mails(text, boolean, double precision), scopekit.prune_mails()
    FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.notify_people(text, uuid, uuid, uuid, uuid), scopekit.notify_of_view(),
    scopekit.notify_of_decision(), scopekit.notify_of_question(), scopekit.notify_of_failure(), scopekit.own_notifications(),
    scopekit.choose_notifications(jsonb), scopekit.queue_reminders(),
    scopekit.queue_alert_mails(text, boolean, double precision), scopekit.prune_mails() TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.own_notifications(), scopekit.choose_notifications(jsonb) TO authenticated;
