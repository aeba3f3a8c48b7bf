-- Mails are jobs of a kind of their own.

INSERT INTO public.job_kinds (name, subject, lane, speaks, ends_stream, unique_by, max_attempts, retention) VALUES
    ('mail', 'none', 'mail', false, false, NULL, 25, '1 day')
ON CONFLICT (name) DO NOTHING;

-- Queue a mail about a request to sign in, or about an invitation. Neither its address nor its secret stands in the job.
CREATE FUNCTION scopekit.queue_mail(p_mail text, p_about uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.jobs (job_type, payload)
    VALUES ('mail', jsonb_build_object('mail', p_mail, 'about', p_about, 'queued_at', clock_timestamp()))
$$;

-- Ask for a code by e-mail, in a browser that holds this secret. Its mail is queued whoever asks, so that an answer tells
-- nobody which addresses have accounts; the one who sends it looks.
CREATE OR REPLACE FUNCTION scopekit.ask_for_code(p_email text, p_next text, p_browser_hash bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    INSERT INTO public.sign_in_codes (email, next, browser_hash) VALUES (p_email, p_next, p_browser_hash)
    RETURNING id INTO v_id;
    PERFORM scopekit.queue_mail('sign_in', v_id);
    RETURN v_id;
END $$;

-- Keep the code and the link that a mail is about to carry; the ten minutes begin now. False for a request that is used or
-- too old.
CREATE OR REPLACE FUNCTION scopekit.set_code(p_id uuid, p_code_hash text, p_link_hash bytea) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.sign_in_codes
    SET code_hash = p_code_hash, link_hash = p_link_hash, tries = 0, expires_at = clock_timestamp() + interval '10 minutes'
    WHERE id = p_id AND used_at IS NULL AND asked_at > clock_timestamp() - interval '1 hour';
    RETURN FOUND;
END $$;

-- Spend one of five tries at a code, by the browser that asked; no row when none is left, or it is over.
CREATE OR REPLACE FUNCTION scopekit.try_code(p_id uuid, p_browser_hash bytea) RETURNS TABLE (email text, next text, code_hash text)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.sign_in_codes AS c SET tries = c.tries + 1
    WHERE c.id = p_id AND c.browser_hash = p_browser_hash AND c.tries < 5 AND c.used_at IS NULL
      AND c.expires_at > clock_timestamp() AND c.code_hash IS NOT NULL
    RETURNING c.email, c.next, c.code_hash
$$;

-- Invite into the caller's company, and queue the mail: the invitation's id; null for a member, or where the caller may
-- not.
CREATE OR REPLACE FUNCTION scopekit.invite_person(p_email text, p_role text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    IF NOT scopekit.may_grant(p_role) THEN
        RETURN NULL;
    END IF;
    v_id := scopekit.offer_membership(public.current_tenant_id('admin'), p_email, p_role, NULL,
                                      nullif(auth.jwt() ->> 'sub', '')::uuid);
    IF v_id IS NOT NULL THEN
        PERFORM scopekit.queue_mail('invitation', v_id);
    END IF;
    RETURN v_id;
END $$;

REVOKE ALL ON FUNCTION scopekit.queue_mail(text, uuid) FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.queue_mail(text, uuid) TO service_role;

SELECT scopekit.queue_mail(kind, about) FROM public.mail_queue;
DROP FUNCTION scopekit.take_mail();
DROP TABLE public.mail_queue;
