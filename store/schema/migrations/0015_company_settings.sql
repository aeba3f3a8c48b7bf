-- A company's admins set its name, currency and tax rate.

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

REVOKE ALL ON FUNCTION scopekit.change_company(text, text, numeric) FROM PUBLIC, anon, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.change_company(text, text, numeric) TO authenticated, service_role;
