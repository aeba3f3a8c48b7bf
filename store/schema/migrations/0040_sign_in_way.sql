-- How a person signed in is a `way` everywhere: three functions name their parameter so.

DROP FUNCTION scopekit.start_session(uuid, bytea, text, text, text, uuid, uuid, double precision);
DROP FUNCTION scopekit.begin_attempt(text, bytea, text);
DROP FUNCTION scopekit.take_attempt(uuid, text, bytea);

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

REVOKE ALL ON FUNCTION scopekit.start_session(uuid, bytea, text, text, text, uuid, uuid, double precision) FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION scopekit.begin_attempt(text, bytea, text) FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION scopekit.take_attempt(uuid, text, bytea) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.start_session(uuid, bytea, text, text, text, uuid, uuid, double precision) TO scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.begin_attempt(text, bytea, text) TO scopekit_gateway, service_role;
GRANT EXECUTE ON FUNCTION scopekit.take_attempt(uuid, text, bytea) TO scopekit_gateway, service_role;
