-- Sessions, API keys and invitations: how a user acts for a company, and how a person comes to one.
--
-- Invariants.
--  1 A session, an API key or an invitation only says who is asking: rights are the membership row's.
--  2 Whatever ends or changes a session is notified when it commits, so that gateways forget it and end its streams.
--  3 A company keeps an owner: the last one is neither removed nor given another role.
-- The functions for a session are the gateway login's alone, which has verified the session's secret. Those for a company
-- check the caller's role.

-- A browser that is signed in, for one company at a time (null: for none yet). The cookie holds the id and a secret. After a
-- rotation the secret before holds for another minute, for requests under way.
CREATE TABLE public.sessions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    tenant_id       uuid REFERENCES public.tenants ON DELETE SET NULL,
    secret_hash     bytea NOT NULL CHECK (length(secret_hash) = 32),
    previous_hash   bytea CHECK (length(previous_hash) = 32),
    rotated_at      timestamptz NOT NULL DEFAULT now(),
    must_rotate     boolean NOT NULL DEFAULT false,  -- the user's rights have changed since
    way             text NOT NULL CHECK (way <> ''),
    device          text NOT NULL DEFAULT '' CHECK (length(device) <= 200),
    address_prefix  text NOT NULL DEFAULT '',  -- truncated: /24 or /48
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_used_at    timestamptz NOT NULL DEFAULT now(),
    lives           interval NOT NULL DEFAULT '30 days',  -- after its last use
    ends_at         timestamptz NOT NULL DEFAULT now() + interval '90 days',  -- whatever its use
    CONSTRAINT ninety_days_at_most CHECK (ends_at <= created_at + interval '90 days')
);
CREATE INDEX sessions_of_user ON public.sessions (user_id, last_used_at);
CREATE INDEX sessions_of_tenant ON public.sessions (tenant_id) WHERE tenant_id IS NOT NULL;

-- A key by which a program acts for a company. It is a member as a person is: its id is a user's, and its role stands in
-- `memberships`, so policies, caches and streams treat both alike. The key itself is shown once.
CREATE TABLE public.api_keys (
    id           uuid PRIMARY KEY REFERENCES public.users ON DELETE CASCADE,
    tenant_id    uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    name         text NOT NULL CHECK (name <> '' AND length(name) <= 100),
    secret_hash  bytea NOT NULL CHECK (length(secret_hash) = 32),
    role         text NOT NULL CHECK (role IN ('admin', 'member', 'viewer')),
    created_by   uuid REFERENCES public.users ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_of_tenant ON public.api_keys (tenant_id);
CREATE INDEX api_keys_of_maker ON public.api_keys (created_by) WHERE created_by IS NOT NULL;

-- An offer of membership to an e-mail address. It is open until it is accepted, withdrawn or has expired.
CREATE TABLE public.invitations (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    email       text NOT NULL CHECK (email = lower(email) AND email ~ '^[!-~]+@[!-~]+$' AND length(email) <= 254),
    role        text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    token_hash  bytea UNIQUE CHECK (length(token_hash) = 32),  -- null until its mail is sent
    invited_by  uuid REFERENCES public.users ON DELETE SET NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL DEFAULT now() + interval '7 days',
    accepted_at timestamptz,
    accepted_by uuid REFERENCES public.users ON DELETE SET NULL,
    withdrawn_at timestamptz,
    CONSTRAINT accepted_or_withdrawn CHECK (accepted_at IS NULL OR withdrawn_at IS NULL)
);
CREATE UNIQUE INDEX invitations_open ON public.invitations (tenant_id, email)
    WHERE accepted_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX invitations_of_tenant ON public.invitations (tenant_id);
CREATE INDEX invitations_of_email ON public.invitations (email);
CREATE INDEX invitations_of_maker ON public.invitations (invited_by) WHERE invited_by IS NOT NULL;
CREATE INDEX invitations_of_member ON public.invitations (accepted_by) WHERE accepted_by IS NOT NULL;

-- What was done to a company's people: who invited, joined, was removed, signed in, and from where.
CREATE TABLE public.people_audit (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor          text NOT NULL CHECK (actor <> ''),
    action         text NOT NULL CHECK (action <> ''),
    target         text NOT NULL DEFAULT '',
    detail         jsonb NOT NULL DEFAULT '{}',
    address_prefix text NOT NULL DEFAULT ''
);
CREATE INDEX people_audit_newest ON public.people_audit (tenant_id, at DESC);

-- Write down what was done to a company's people.
CREATE FUNCTION scopekit.note_people(p_tenant_id uuid, p_action text, p_target text, p_detail jsonb DEFAULT '{}',
                                     p_actor text DEFAULT NULL)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.people_audit (tenant_id, actor, action, target, detail)
    VALUES (p_tenant_id, coalesce(p_actor, scopekit.actor()), p_action, p_target, p_detail)
$$;

-- Queue a mail about a request to sign in, or about an invitation. Neither its address nor its secret stands in the job.
CREATE FUNCTION scopekit.queue_mail(p_mail text, p_about uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.jobs (job_type, payload)
    VALUES ('mail', jsonb_build_object('mail', p_mail, 'about', p_about, 'queued_at', clock_timestamp()))
$$;

-- Sessions ------------------------------------------------------------------------------------------------------------

-- Gateways hear of a changed session when it commits. `ends`: its streams end, as it is over or for another company now.
CREATE FUNCTION scopekit.tell_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('scopekit_control', jsonb_build_object('kind', 'session', 'session_id', OLD.id, 'ends',
        TG_OP = 'DELETE' OR OLD.tenant_id IS DISTINCT FROM NEW.tenant_id)::text);
    RETURN NULL;
END $$;

CREATE TRIGGER tell_session AFTER DELETE OR UPDATE OF secret_hash, tenant_id, must_rotate ON public.sessions
    FOR EACH ROW EXECUTE FUNCTION scopekit.tell_session();

-- A change of rights asks for new secrets of the user's sessions. Those of a removed member act for no company.
CREATE FUNCTION scopekit.rotate_sessions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.sessions SET must_rotate = true WHERE user_id = OLD.user_id AND NOT must_rotate;
    IF TG_OP = 'DELETE' THEN
        UPDATE public.sessions SET tenant_id = NULL WHERE user_id = OLD.user_id AND tenant_id = OLD.tenant_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER rotate_sessions AFTER DELETE OR UPDATE OF role ON public.memberships
    FOR EACH ROW EXECUTE FUNCTION scopekit.rotate_sessions();

-- Begin a session for the company asked for, else the one of the last session, else the first joined. The session that the
-- browser had ends.
CREATE FUNCTION scopekit.start_session(p_user_id uuid, p_secret_hash bytea, p_way text, p_device text, p_address text,
                                       p_replaces uuid, p_tenant_id uuid, p_seconds double precision)
    RETURNS TABLE (id uuid, tenant_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_id     uuid;
    v_tenant uuid := (SELECT m.tenant_id FROM public.memberships m WHERE m.user_id = p_user_id
                      ORDER BY (m.tenant_id IS NOT DISTINCT FROM p_tenant_id) DESC,
                               (SELECT max(s.last_used_at) FROM public.sessions s
                                WHERE s.user_id = p_user_id AND s.tenant_id = m.tenant_id) DESC NULLS LAST,
                               m.created_at, m.tenant_id
                      LIMIT 1);
BEGIN
    INSERT INTO public.users (id) VALUES (p_user_id) ON CONFLICT (id) DO NOTHING;  -- one known by a token alone
    DELETE FROM public.sessions s WHERE s.id = p_replaces;
    INSERT INTO public.sessions (user_id, tenant_id, secret_hash, way, device, address_prefix, ends_at)
    VALUES (p_user_id, v_tenant, p_secret_hash, p_way, left(p_device, 200), p_address,
            now() + least(make_interval(secs => p_seconds), interval '90 days'))
    RETURNING sessions.id INTO v_id;
    IF v_tenant IS NOT NULL THEN
        INSERT INTO public.people_audit (tenant_id, actor, action, target, detail, address_prefix)
        VALUES (v_tenant, 'user ' || p_user_id, 'sign_in', p_user_id::text,
                jsonb_build_object('way', p_way, 'device', left(p_device, 200)), p_address);
    END IF;
    RETURN QUERY SELECT v_id, v_tenant;
END $$;

-- A live session by its id, or no row; that it was used is noted every five minutes.
CREATE FUNCTION scopekit.read_session(p_id uuid)
    RETURNS TABLE (user_id uuid, tenant_id uuid, secret_hash bytea, previous_hash bytea, rotated_at timestamptz,
                   must_rotate boolean, expires_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.sessions s SET last_used_at = now()
    WHERE s.id = p_id AND s.last_used_at < now() - interval '5 minutes' AND s.last_used_at + s.lives > now();
    RETURN QUERY
        SELECT s.user_id, s.tenant_id, s.secret_hash, s.previous_hash, s.rotated_at, s.must_rotate,
               least(s.last_used_at + s.lives, s.ends_at)
        FROM public.sessions s WHERE s.id = p_id AND s.last_used_at + s.lives > now() AND s.ends_at > now();
END $$;

-- Which of these sessions are over, or act for another company than the one named beside them.
CREATE FUNCTION scopekit.ended_sessions(p_ids uuid[], p_tenant_ids uuid[]) RETURNS TABLE (id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT asked.id FROM unnest(p_ids, p_tenant_ids) AS asked (id, tenant_id)
    WHERE NOT EXISTS (SELECT FROM public.sessions s WHERE s.id = asked.id AND s.tenant_id = asked.tenant_id
                      AND s.last_used_at + s.lives > now() AND s.ends_at > now())
$$;

-- Give a session a new secret, once: of several who ask with the same one, one is given it.
CREATE FUNCTION scopekit.rotate_session(p_id uuid, p_old_hash bytea, p_new_hash bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.sessions SET secret_hash = p_new_hash, previous_hash = p_old_hash, rotated_at = now(), must_rotate = false
    WHERE id = p_id AND secret_hash = p_old_hash;
    RETURN FOUND;
END $$;

-- Let a session act for another company of its user; false where the user is no member.
CREATE FUNCTION scopekit.choose_company(p_id uuid, p_tenant_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.sessions s SET tenant_id = p_tenant_id, must_rotate = true
    WHERE s.id = p_id AND EXISTS (SELECT FROM public.memberships m
                                  WHERE m.user_id = s.user_id AND m.tenant_id = p_tenant_id);
    RETURN FOUND;
END $$;

-- A user's live sessions, the last used first.
CREATE FUNCTION scopekit.sessions_of(p_user_id uuid)
    RETURNS TABLE (id uuid, way text, device text, address_prefix text, company text, created_at timestamptz,
                   last_used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.id, s.way, s.device, s.address_prefix, t.name, s.created_at, s.last_used_at
    FROM public.sessions s LEFT JOIN public.tenants t ON t.id = s.tenant_id
    WHERE s.user_id = p_user_id AND s.last_used_at + s.lives > now() AND s.ends_at > now()
    ORDER BY s.last_used_at DESC, s.id
$$;

-- End one of a user's sessions, or with null all but one; how many ended.
CREATE FUNCTION scopekit.end_sessions(p_user_id uuid, p_id uuid, p_but uuid) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_ended integer;
BEGIN
    DELETE FROM public.sessions
    WHERE user_id = p_user_id AND (p_id IS NULL OR id = p_id) AND id IS DISTINCT FROM p_but;
    GET DIAGNOSTICS v_ended = ROW_COUNT;
    RETURN v_ended;
END $$;

-- The companies of a user, and the role in each.
CREATE FUNCTION scopekit.companies_of(p_user_id uuid)
    RETURNS TABLE (tenant_id uuid, name text, role text, is_test boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id, t.name, m.role, t.is_test FROM public.memberships m JOIN public.tenants t ON t.id = m.tenant_id
    WHERE m.user_id = p_user_id ORDER BY t.name, t.id
$$;

-- A user's own name and address.
CREATE FUNCTION scopekit.read_user(p_user_id uuid) RETURNS TABLE (id uuid, email text, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT u.id, u.email, u.name FROM public.users u WHERE u.id = p_user_id
$$;

-- Delete what has expired a day ago: sessions, and requests to sign in. How many rows.
CREATE FUNCTION scopekit.prune_sessions() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_sessions integer;
    v_codes    integer;
BEGIN
    DELETE FROM public.sessions WHERE last_used_at + lives < now() - interval '1 day' OR ends_at < now() - interval '1 day';
    GET DIAGNOSTICS v_sessions = ROW_COUNT;
    DELETE FROM public.sign_in_codes WHERE expires_at < now() - interval '1 day';
    GET DIAGNOSTICS v_codes = ROW_COUNT;
    RETURN v_sessions + v_codes;
END $$;

-- API keys ------------------------------------------------------------------------------------------------------------

-- A key that is not revoked, by its id, or no row; that it was used is noted every five minutes.
CREATE FUNCTION scopekit.read_api_key(p_id uuid) RETURNS TABLE (tenant_id uuid, secret_hash bytea)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.api_keys k SET last_used_at = now()
    WHERE k.id = p_id AND k.revoked_at IS NULL
      AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '5 minutes');
    RETURN QUERY SELECT k.tenant_id, k.secret_hash FROM public.api_keys k WHERE k.id = p_id AND k.revoked_at IS NULL;
END $$;

-- Make a key for the caller's company, with a role up to the caller's own. For its admins. Null where they may not.
CREATE FUNCTION scopekit.create_api_key(p_name text, p_role text, p_secret_hash bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id('admin');
    v_id     uuid := gen_random_uuid();
BEGIN
    IF v_tenant IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.users (id, name) VALUES (v_id, p_name);
    INSERT INTO public.api_keys (id, tenant_id, name, secret_hash, role, created_by)
    VALUES (v_id, v_tenant, p_name, p_secret_hash, p_role, nullif(auth.jwt() ->> 'sub', '')::uuid);
    INSERT INTO public.memberships (tenant_id, user_id, role) VALUES (v_tenant, v_id, p_role);
    PERFORM scopekit.note_people(v_tenant, 'api_key.create', v_id::text, jsonb_build_object('name', p_name, 'role', p_role));
    RETURN v_id;
END $$;

-- Revoke a key of the caller's company; its streams end with its membership. For its admins.
CREATE FUNCTION scopekit.revoke_api_key(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id('admin');
BEGIN
    UPDATE public.api_keys SET revoked_at = now() WHERE id = p_id AND tenant_id = v_tenant AND revoked_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.memberships WHERE tenant_id = v_tenant AND user_id = p_id;
    PERFORM scopekit.note_people(v_tenant, 'api_key.revoke', p_id::text);
    RETURN true;
END $$;

-- The keys of the caller's company that are in force, the newest first. For its admins.
CREATE FUNCTION scopekit.list_api_keys()
    RETURNS TABLE (id uuid, name text, role text, created_at timestamptz, last_used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT k.id, k.name, k.role, k.created_at, k.last_used_at FROM public.api_keys k
    WHERE k.tenant_id = public.current_tenant_id('admin') AND k.revoked_at IS NULL ORDER BY k.created_at DESC, k.id
$$;

-- People --------------------------------------------------------------------------------------------------------------

-- The people of a company and their roles; API keys are none.
CREATE FUNCTION scopekit.people_of(p_tenant_id uuid)
    RETURNS TABLE (user_id uuid, email text, name text, role text, since timestamptz, last_seen_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.user_id, u.email, u.name, m.role, m.created_at,
           (SELECT max(s.last_used_at) FROM public.sessions s WHERE s.user_id = m.user_id AND s.tenant_id = m.tenant_id)
    FROM public.memberships m JOIN public.users u ON u.id = m.user_id
    WHERE m.tenant_id = p_tenant_id AND NOT EXISTS (SELECT FROM public.api_keys k WHERE k.id = m.user_id)
    ORDER BY coalesce(nullif(u.name, ''), u.email), m.user_id
$$;

-- A company's invitations that can still be accepted.
CREATE FUNCTION scopekit.invitations_of(p_tenant_id uuid)
    RETURNS TABLE (id uuid, email text, role text, created_at timestamptz, expires_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT i.id, i.email, i.role, i.created_at, i.expires_at FROM public.invitations i
    WHERE i.tenant_id = p_tenant_id AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL ORDER BY i.email
$$;

-- Offer an address membership; an open offer is renewed with this role. Null, and nothing done, for a member. The token's
-- hash may come later, with the mail.
CREATE FUNCTION scopekit.offer_membership(p_tenant_id uuid, p_email text, p_role text, p_token_hash bytea, p_by uuid)
    RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    IF EXISTS (SELECT FROM public.memberships m JOIN public.users u ON u.id = m.user_id
               WHERE m.tenant_id = p_tenant_id AND u.email = p_email) THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.invitations AS i (tenant_id, email, role, token_hash, invited_by)
    VALUES (p_tenant_id, p_email, p_role, p_token_hash, p_by)
    ON CONFLICT (tenant_id, email) WHERE accepted_at IS NULL AND withdrawn_at IS NULL
        DO UPDATE SET role = excluded.role, token_hash = excluded.token_hash, invited_by = excluded.invited_by,
                      expires_at = excluded.expires_at
    RETURNING i.id INTO v_id;
    PERFORM scopekit.note_people(p_tenant_id, 'invite', p_email, jsonb_build_object('role', p_role));
    RETURN v_id;
END $$;

-- Withdraw an open offer; false where there is none.
CREATE FUNCTION scopekit.withdraw_offer(p_tenant_id uuid, p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text;
BEGIN
    UPDATE public.invitations SET withdrawn_at = now()
    WHERE tenant_id = p_tenant_id AND id = p_id AND accepted_at IS NULL AND withdrawn_at IS NULL
    RETURNING email INTO v_email;
    IF v_email IS NULL THEN
        RETURN false;
    END IF;
    PERFORM scopekit.note_people(p_tenant_id, 'invite.withdraw', v_email);
    RETURN true;
END $$;

-- Give a member another role, or with null remove them. `done`; `last_owner`: the company would have no owner, nothing was
-- done; `none`: no such person there. Owners are locked, so that two who leave at once cannot both be the last but one.
CREATE FUNCTION scopekit.change_person(p_tenant_id uuid, p_user_id uuid, p_role text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_owners uuid[];
    v_before text;
BEGIN
    SELECT array_agg(o.user_id) INTO v_owners FROM (
        SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id AND m.role = 'owner'
        ORDER BY m.user_id FOR UPDATE) AS o;
    SELECT m.role INTO v_before FROM public.memberships m
    WHERE m.tenant_id = p_tenant_id AND m.user_id = p_user_id
      AND NOT EXISTS (SELECT FROM public.api_keys k WHERE k.id = m.user_id) FOR UPDATE;
    IF v_before IS NULL THEN
        RETURN 'none';
    ELSIF v_owners = ARRAY[p_user_id] AND p_role IS DISTINCT FROM 'owner' THEN
        RETURN 'last_owner';
    ELSIF p_role IS NULL THEN
        DELETE FROM public.memberships WHERE tenant_id = p_tenant_id AND user_id = p_user_id;
        PERFORM scopekit.note_people(p_tenant_id, 'remove', p_user_id::text, jsonb_build_object('was', v_before));
    ELSIF p_role <> v_before THEN
        UPDATE public.memberships SET role = p_role WHERE tenant_id = p_tenant_id AND user_id = p_user_id;
        PERFORM scopekit.note_people(p_tenant_id, 'role', p_user_id::text,
                                     jsonb_build_object('was', v_before, 'is', p_role));
    END IF;
    RETURN 'done';
END $$;

-- Whether the caller, an admin of their company, may give or take this role: what belongs to owners, owners alone.
CREATE FUNCTION scopekit.may_grant(p_role text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT public.current_tenant_id(CASE WHEN p_role = 'owner' THEN 'owner' ELSE 'admin' END) IS NOT NULL
$$;

-- The people of the caller's company.
CREATE FUNCTION scopekit.own_people()
    RETURNS TABLE (user_id uuid, email text, name text, role text, since timestamptz, last_seen_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM scopekit.people_of(public.current_tenant_id('admin'))
$$;

-- The open invitations of the caller's company.
CREATE FUNCTION scopekit.own_invitations()
    RETURNS TABLE (id uuid, email text, role text, created_at timestamptz, expires_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM scopekit.invitations_of(public.current_tenant_id('admin'))
$$;

-- Invite into the caller's company, and queue the mail: the invitation's id; null for a member, or where the caller may
-- not.
CREATE FUNCTION scopekit.invite_person(p_email text, p_role text) RETURNS uuid
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

-- Withdraw an invitation of the caller's company.
CREATE FUNCTION scopekit.withdraw_invitation(p_id uuid) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT scopekit.withdraw_offer(public.current_tenant_id('admin'), p_id)
$$;

-- Change a person of the caller's company, as `change_person` does; `forbidden` where the caller may not. Everybody may
-- leave.
CREATE FUNCTION scopekit.change_own_person(p_user_id uuid, p_role text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_leaves boolean := p_role IS NULL AND p_user_id = nullif(auth.jwt() ->> 'sub', '')::uuid;
BEGIN
    IF v_tenant IS NULL OR NOT (v_leaves OR (
           scopekit.may_grant(coalesce(p_role, 'member'))
           AND scopekit.may_grant(coalesce(scopekit.member_role(v_tenant, p_user_id), 'member')))) THEN
        RETURN 'forbidden';
    END IF;
    RETURN scopekit.change_person(v_tenant, p_user_id, p_role);
END $$;

-- The newest entries of the company's own record. For its admins.
CREATE FUNCTION scopekit.own_audit(p_limit integer)
    RETURNS TABLE (at timestamptz, actor text, action text, target text, detail jsonb, address_prefix text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.at, a.actor, a.action, a.target, a.detail, a.address_prefix FROM public.people_audit a
    WHERE a.tenant_id = public.current_tenant_id('admin') ORDER BY a.at DESC LIMIT p_limit
$$;

-- Signing in ----------------------------------------------------------------------------------------------------------

-- Make a person a member of every company that has invited this address. The address is proven.
CREATE FUNCTION scopekit.accept_invitations(p_user_id uuid, p_email text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_invitation record;
    v_accepted   integer := 0;
BEGIN
    FOR v_invitation IN
        UPDATE public.invitations SET accepted_at = now(), accepted_by = p_user_id
        WHERE email = p_email AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > now()
        RETURNING tenant_id, role
    LOOP
        INSERT INTO public.memberships (tenant_id, user_id, role)
        VALUES (v_invitation.tenant_id, p_user_id, v_invitation.role) ON CONFLICT DO NOTHING;
        PERFORM scopekit.note_people(v_invitation.tenant_id, 'join', p_email,
                                     jsonb_build_object('role', v_invitation.role), 'user ' || p_user_id);
        v_accepted := v_accepted + 1;
    END LOOP;
    RETURN v_accepted;
END $$;

-- Whether this proven address may sign in: it has an account, an open invitation, or accounts are open.
CREATE FUNCTION scopekit.may_sign_in(p_email text, p_open boolean) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p_open
        OR EXISTS (SELECT FROM public.users WHERE email = p_email)
        OR EXISTS (SELECT FROM public.invitations WHERE email = p_email AND accepted_at IS NULL
                   AND withdrawn_at IS NULL AND expires_at > now())
$$;

-- The user behind a proven address, or behind an issuer's subject (then the address, where one is proven, leads to the
-- account at first). Makes the account where one may be made, keeps the identity, accepts invitations. Null: no account,
-- no invitation, and `p_open` does not allow a new one.
CREATE FUNCTION scopekit.sign_in_user(p_email text, p_issuer text, p_subject text, p_name text, p_open boolean) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_user uuid := (SELECT user_id FROM public.identities WHERE issuer = p_issuer AND subject = p_subject);
BEGIN
    IF v_user IS NULL THEN
        v_user := (SELECT id FROM public.users WHERE email = p_email);
        IF v_user IS NULL AND (p_open OR scopekit.may_sign_in(p_email, false)) THEN
            INSERT INTO public.users (email, name) VALUES (p_email, left(coalesce(p_name, ''), 200))
            ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id INTO v_user;
        END IF;
        IF v_user IS NOT NULL AND p_issuer IS NOT NULL THEN
            INSERT INTO public.identities (issuer, subject, user_id) VALUES (p_issuer, p_subject, v_user)
            ON CONFLICT (issuer, subject) DO NOTHING;
        END IF;
    END IF;
    IF v_user IS NOT NULL AND p_email IS NOT NULL THEN
        UPDATE public.users SET name = left(p_name, 200) WHERE id = v_user AND name = '' AND p_name <> '';
        PERFORM scopekit.accept_invitations(v_user, p_email);
    END IF;
    RETURN v_user;
END $$;

-- Ask for a code by e-mail, in a browser that holds this secret. Its mail is queued whoever asks, so that an answer tells
-- nobody which addresses have accounts; the one who sends it looks.
CREATE FUNCTION scopekit.ask_for_code(p_email text, p_next text, p_browser_hash bytea) RETURNS uuid
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
CREATE FUNCTION scopekit.set_code(p_id uuid, p_code_hash text, p_link_hash bytea) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.sign_in_codes
    SET code_hash = p_code_hash, link_hash = p_link_hash, tries = 0, expires_at = clock_timestamp() + interval '10 minutes'
    WHERE id = p_id AND used_at IS NULL AND asked_at > clock_timestamp() - interval '1 hour';
    RETURN FOUND;
END $$;

-- Spend one of five tries at a code, by the browser that asked; no row when none is left, or it is over.
CREATE FUNCTION scopekit.try_code(p_id uuid, p_browser_hash bytea) RETURNS TABLE (email text, next text, code_hash text)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.sign_in_codes AS c SET tries = c.tries + 1
    WHERE c.id = p_id AND c.browser_hash = p_browser_hash AND c.tries < 5 AND c.used_at IS NULL
      AND c.expires_at > clock_timestamp() AND c.code_hash IS NOT NULL
    RETURNING c.email, c.next, c.code_hash
$$;

-- Use a request up; false when it was used.
CREATE FUNCTION scopekit.use_code(p_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.sign_in_codes SET used_at = clock_timestamp() WHERE id = p_id AND used_at IS NULL;
    RETURN FOUND;
END $$;

-- The request behind a mailed link, and whether this is the browser that asked; no row for one that is over.
CREATE FUNCTION scopekit.read_link(p_link_hash bytea, p_browser_hash bytea)
    RETURNS TABLE (id uuid, email text, next text, is_same_browser boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.id, c.email, c.next, coalesce(c.browser_hash = p_browser_hash, false) FROM public.sign_in_codes c
    WHERE c.link_hash = p_link_hash AND c.used_at IS NULL AND c.expires_at > clock_timestamp()
$$;

-- Begin a ceremony of signing in.
CREATE FUNCTION scopekit.begin_attempt(p_way text, p_secret_hash bytea, p_next text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    DELETE FROM public.sign_in_attempts WHERE id IN (
        SELECT id FROM public.sign_in_attempts WHERE expires_at < clock_timestamp() LIMIT 20 FOR UPDATE SKIP LOCKED);
    INSERT INTO public.sign_in_attempts (way, secret_hash, next) VALUES (p_way, p_secret_hash, p_next)
    RETURNING id INTO v_id;
    RETURN v_id;
END $$;

-- Use a ceremony up, and return where it leads; null when it was used, is over, or is another browser's.
CREATE FUNCTION scopekit.take_attempt(p_id uuid, p_way text, p_secret_hash bytea) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.sign_in_attempts
    WHERE id = p_id AND way = p_way AND secret_hash = p_secret_hash AND expires_at > clock_timestamp()
    RETURNING next
$$;

-- The invitation behind a mailed link: whose it is, and whether there is an account of that address already.
CREATE FUNCTION scopekit.read_invitation(p_token_hash bytea)
    RETURNS TABLE (company text, email text, role text, has_account boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.name, i.email, i.role, EXISTS (SELECT FROM public.users u WHERE u.email = i.email)
    FROM public.invitations i JOIN public.tenants t ON t.id = i.tenant_id
    WHERE i.token_hash = p_token_hash AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL AND i.expires_at > now()
$$;

-- Make the account that an invitation's link is for, and accept the invitation: its holder has the mailbox. Null where an
-- account of that address exists: it is entered by signing in.
CREATE FUNCTION scopekit.join_by_link(p_token_hash bytea) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text := (SELECT email FROM scopekit.read_invitation(p_token_hash) WHERE NOT has_account);
    v_user  uuid;
BEGIN
    IF v_email IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.users (email) VALUES (v_email) ON CONFLICT (email) DO NOTHING RETURNING id INTO v_user;
    IF v_user IS NOT NULL THEN
        PERFORM scopekit.accept_invitations(v_user, v_email);
    END IF;
    RETURN v_user;
END $$;

-- Passkeys ------------------------------------------------------------------------------------------------------------

-- Keep a passkey of a user; false when the credential is known already.
CREATE FUNCTION scopekit.add_passkey(p_user_id uuid, p_credential_id bytea, p_public_key bytea, p_sign_count bigint,
                                     p_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.passkeys (credential_id, user_id, public_key, sign_count, name)
    VALUES (p_credential_id, p_user_id, p_public_key, p_sign_count, p_name) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- A passkey by its credential.
CREATE FUNCTION scopekit.find_passkey(p_credential_id bytea)
    RETURNS TABLE (user_id uuid, public_key bytea, sign_count bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT user_id, public_key, sign_count FROM public.passkeys WHERE credential_id = p_credential_id
$$;

-- Note that a passkey signed, with its counter.
CREATE FUNCTION scopekit.use_passkey(p_credential_id bytea, p_sign_count bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.passkeys SET sign_count = p_sign_count, last_used_at = now() WHERE credential_id = p_credential_id
$$;

-- A user's passkeys.
CREATE FUNCTION scopekit.passkeys_of(p_user_id uuid)
    RETURNS TABLE (credential_id bytea, name text, created_at timestamptz, last_used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT credential_id, name, created_at, last_used_at FROM public.passkeys
    WHERE user_id = p_user_id ORDER BY created_at, credential_id
$$;

-- Remove a passkey of a user.
CREATE FUNCTION scopekit.remove_passkey(p_user_id uuid, p_credential_id bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM public.passkeys WHERE user_id = p_user_id AND credential_id = p_credential_id;
    RETURN FOUND;
END $$;

-- Companies -----------------------------------------------------------------------------------------------------------

-- Make a company with these flags.
CREATE FUNCTION scopekit.create_company(p_name text, p_flags jsonb) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_tenant uuid;
BEGIN
    INSERT INTO public.tenants (name) VALUES (p_name) RETURNING id INTO v_tenant;
    INSERT INTO public.tenant_settings (tenant_id, feature_flags, profile)
    VALUES (v_tenant, p_flags, jsonb_build_object('business_name', p_name));
    PERFORM scopekit.note_people(v_tenant, 'company.create', p_name);
    RETURN v_tenant;
END $$;

-- Whether the database holds no company yet.
CREATE FUNCTION scopekit.is_empty() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM public.tenants)
$$;

-- Put a new code in force for /setup; false where there is a company.
CREATE FUNCTION scopekit.offer_setup(p_code_hash bytea) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT scopekit.is_empty() THEN
        RETURN false;
    END IF;
    INSERT INTO public.setup_code (code_hash) VALUES (p_code_hash)
    ON CONFLICT (only_row) DO UPDATE SET code_hash = excluded.code_hash, made_at = now();
    RETURN true;
END $$;

-- Make the first company, and its owner's account, for who has the code. The user; null for another code, or where there is
-- a company. The code is used up.
CREATE FUNCTION scopekit.set_up(p_code_hash bytea, p_company text, p_email text, p_flags jsonb) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_user uuid;
BEGIN
    DELETE FROM public.setup_code WHERE code_hash = p_code_hash;
    IF NOT FOUND OR NOT scopekit.is_empty() THEN
        RETURN NULL;
    END IF;
    INSERT INTO public.users (email) VALUES (p_email) ON CONFLICT (email) DO UPDATE SET email = excluded.email
    RETURNING id INTO v_user;
    INSERT INTO public.memberships (tenant_id, user_id, role)
    VALUES (scopekit.create_company(p_company, p_flags), v_user, 'owner');
    RETURN v_user;
END $$;

-- Mail ----------------------------------------------------------------------------------------------------------------

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

-- Change the caller's company: its name, currency and tax rate. For its admins; false for others.
CREATE FUNCTION scopekit.change_company(p_name text, p_currency text, p_tax_rate numeric) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id('admin');
BEGIN
    UPDATE public.tenants SET name = p_name WHERE id = v_tenant;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE public.tenant_settings SET currency = p_currency, tax_rate = p_tax_rate, updated_at = now()
    WHERE tenant_id = v_tenant;
    PERFORM scopekit.note_people(v_tenant, 'company.change', p_name,
                                 jsonb_build_object('currency', p_currency, 'tax_rate', p_tax_rate));
    RETURN true;
END $$;

-- Delete a person's account: sessions, passkeys, identities and memberships go with it, and the address goes from the
-- companies' records. `last_owner`, and nothing done, where a company would have no owner.
CREATE FUNCTION scopekit.delete_account(p_user_id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email  text := (SELECT email FROM public.users WHERE id = p_user_id);
    v_tenant uuid;
BEGIN
    FOR v_tenant IN SELECT tenant_id FROM public.memberships WHERE user_id = p_user_id ORDER BY tenant_id LOOP
        IF scopekit.change_person(v_tenant, p_user_id, NULL) = 'last_owner' THEN
            RAISE EXCEPTION 'the last owner' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    UPDATE public.people_audit SET target = 'a deleted account' WHERE target = v_email;
    DELETE FROM public.invitations WHERE email = v_email;
    DELETE FROM public.sign_in_codes WHERE email = v_email;
    DELETE FROM public.operators WHERE user_id = p_user_id;
    DELETE FROM public.users WHERE id = p_user_id;
    RETURN 'done';
EXCEPTION WHEN integrity_constraint_violation THEN
    RETURN 'last_owner';
END $$;
