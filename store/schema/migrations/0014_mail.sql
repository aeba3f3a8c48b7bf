-- Mails that wait to be sent; who asks for a code and who invites queue one.

-- Mails that wait to be sent: the request to sign in, or the invitation, that each is about. Its secret is made when it is
-- sent. A row goes when the mail is sent, or is not worth sending any more.
CREATE TABLE public.mail_queue (
    id        uuid PRIMARY KEY DEFAULT uuidv7(),
    kind      text NOT NULL CHECK (kind IN ('sign_in', 'invitation')),
    about     uuid NOT NULL,
    tries     integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (kind, about)
);
CREATE INDEX mail_queue_due ON public.mail_queue (due_at);
ALTER TABLE public.mail_queue ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.mail_queue FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.mail_queue TO service_role;

-- Ask for a code by e-mail, in a browser that holds this secret. Its mail is queued whoever asks, so that an answer tells
-- nobody which addresses have accounts; the one who sends it looks.
CREATE OR REPLACE FUNCTION scopekit.ask_for_code(p_email text, p_next text, p_browser_hash bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    INSERT INTO public.sign_in_codes (email, next, browser_hash) VALUES (p_email, p_next, p_browser_hash)
    RETURNING id INTO v_id;
    INSERT INTO public.mail_queue (kind, about) VALUES ('sign_in', v_id);
    RETURN v_id;
END $$;

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
        INSERT INTO public.mail_queue (kind, about) VALUES ('invitation', v_id)
        ON CONFLICT (kind, about) DO UPDATE SET tries = 0, due_at = clock_timestamp();
    END IF;
    RETURN v_id;
END $$;

-- Take the mail that is due first, for half a minute; a second sender does not get it meanwhile.
CREATE FUNCTION scopekit.take_mail() RETURNS TABLE (id uuid, kind text, about uuid, tries integer, waited interval)
    LANGUAGE sql AS $$
    UPDATE public.mail_queue AS q SET tries = q.tries + 1, due_at = clock_timestamp() + interval '30 seconds'
    WHERE q.id = (SELECT w.id FROM public.mail_queue w WHERE w.due_at <= clock_timestamp()
                  ORDER BY w.due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING q.id, q.kind, q.about, q.tries, clock_timestamp() - q.queued_at
$$;

-- The address and the words of an invitation that is open, with a new token; no row for one that is not. Its week begins
-- now.
CREATE FUNCTION scopekit.set_invitation_token(p_id uuid, p_token_hash bytea)
    RETURNS TABLE (email text, role text, company text, inviter text) LANGUAGE sql AS $$
    UPDATE public.invitations AS i SET token_hash = p_token_hash, expires_at = now() + interval '7 days'
    FROM public.tenants AS t
    WHERE i.id = p_id AND t.id = i.tenant_id AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL
    RETURNING i.email, i.role, t.name,
              coalesce((SELECT nullif(u.name, '') FROM public.users u WHERE u.id = i.invited_by),
                       (SELECT u.email FROM public.users u WHERE u.id = i.invited_by), '')
$$;

-- Make a company for a user who signed up, and its owner.
CREATE FUNCTION scopekit.found_company(p_user_id uuid, p_name text, p_flags jsonb) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := scopekit.create_company(p_name, p_flags);
BEGIN
    INSERT INTO public.memberships (tenant_id, user_id, role) VALUES (v_tenant, p_user_id, 'owner');
    RETURN v_tenant;
END $$;

-- End every membership, API key and open invitation of a company; how many members, null for no such company. What it holds
-- stays until it is deleted.
CREATE FUNCTION scopekit.close_company(p_tenant_id uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_left integer;
BEGIN
    PERFORM FROM public.tenants WHERE id = p_tenant_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE public.invitations SET withdrawn_at = now()
    WHERE tenant_id = p_tenant_id AND accepted_at IS NULL AND withdrawn_at IS NULL;
    UPDATE public.api_keys SET revoked_at = now() WHERE tenant_id = p_tenant_id AND revoked_at IS NULL;
    DELETE FROM public.memberships WHERE tenant_id = p_tenant_id;
    GET DIAGNOSTICS v_left = ROW_COUNT;
    PERFORM scopekit.note_people(p_tenant_id, 'company.close', '', jsonb_build_object('members', v_left));
    RETURN v_left;
END $$;

REVOKE ALL ON FUNCTION scopekit.take_mail(), scopekit.set_invitation_token(uuid, bytea),
    scopekit.close_company(uuid), scopekit.found_company(uuid, text, jsonb) FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.take_mail(), scopekit.set_invitation_token(uuid, bytea),
    scopekit.close_company(uuid), scopekit.found_company(uuid, text, jsonb) TO service_role;
GRANT EXECUTE ON FUNCTION scopekit.found_company(uuid, text, jsonb) TO scopekit_gateway;
