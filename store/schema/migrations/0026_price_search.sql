-- The price book's search, for 50,000 items and more. Under row level security the trigram operators, which are not
-- leakproof, would wait for the tenant's check row by row and never use an index: so it is a function that asks for the
-- tenant itself.
CREATE INDEX price_items_code ON public.price_items (tenant_id, lower(code) text_pattern_ops)
    WHERE active AND code <> '';

-- Items whose words resemble the query or hold it, or whose code begins with it (p_holds, p_code: LIKE patterns), sold
-- by one of these units (NULL: any); best first. Planned for each query anew: what is rare decides which index serves.
CREATE FUNCTION public.find_price_items(p_query text, p_holds text, p_code text, p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_query  text := public.search_text(p_query);
    v_holds  text := public.search_text(p_holds);
BEGIN
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
      AND (p.search %> v_query OR p.search LIKE v_holds OR (lower(p.code) LIKE lower(p_code) AND p.code <> ''))
    ORDER BY lower(p.code) LIKE lower(p_code) DESC, word_similarity(v_query, p.search) DESC, p.description, p.id
    LIMIT p_limit;
END $$;
REVOKE ALL ON FUNCTION public.find_price_items(text, text, text, text[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.find_price_items(text, text, text, text[], integer) TO authenticated;
