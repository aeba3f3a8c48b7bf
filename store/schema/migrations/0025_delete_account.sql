-- People delete their own accounts.

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

REVOKE ALL ON FUNCTION scopekit.delete_account(uuid) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.delete_account(uuid) TO scopekit_gateway, service_role;
