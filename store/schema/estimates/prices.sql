-- A company's price book, and its searches.

-- What a company sells, and for how much.
CREATE TABLE public.price_items (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id   uuid NOT NULL REFERENCES public.tenants,
    code        text NOT NULL DEFAULT '' CHECK (length(code) <= 64),
    description text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category    text NOT NULL DEFAULT '' CHECK (length(category) <= 100),
    unit        text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price  numeric(12, 2) NOT NULL CHECK (unit_price >= 0),
    active      boolean NOT NULL DEFAULT true,
    search      text GENERATED ALWAYS AS (public.search_text(description)) STORED,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id)
);
CREATE INDEX price_items_of_tenant ON public.price_items (tenant_id, unit);
CREATE INDEX price_items_search ON public.price_items USING gin (search gin_trgm_ops) WHERE active;
CREATE INDEX price_items_head ON public.price_items USING gin (left(search, 100) gin_trgm_ops) WHERE active;
CREATE INDEX price_items_code ON public.price_items (tenant_id, lower(code) text_pattern_ops)
    WHERE active AND code <> '';

-- Both searches answer within a p99 of 20 ms from 50,000 items. The indexes answer in 2 ms; what took 30 was
-- word_similarity(), 3 us a row and twice for each of 3,500 rows when one word of the query is common. So it is left to
-- the rows that nothing cheaper ranks, and few rows pass the operator's threshold.
--
-- A search costs what it may cost, whatever the book: 16,000 descriptions of 490 characters that share their words took
-- 8 s a search, for word_similarity() reads such a text for 330 us. So likeness looks at the first 100 characters, which
-- name the thing, and what is ranked has a bound.
--
-- Under row level security the trigram operators, which are not leakproof, would wait for the tenant's check row by row
-- and never use an index. So the search of the editor is a function that asks for the tenant itself.

-- Loads pg_trgm, wherever it was made, so that an owner without superuser may set its parameter below.
DO $$
BEGIN
    EXECUTE format('SELECT %I.word_similarity($1, $1)', (
        SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'))
    USING '';
END $$;

-- First the items whose code begins with the query (p_code, a LIKE pattern), then those that hold all its words: the
-- phrase as it stands (p_holds) first, then whole words, then short names. p_units NULL: any. Of 20,000 that hold the
-- words, the 1,000 shortest are looked at more closely. Planned for each query anew: which index serves depends on what
-- is rare.
CREATE FUNCTION public.find_price_items(
        p_query text, p_holds text, p_code text, p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_holds  text := public.search_text(p_holds);
    v_code   text := lower(p_code);
    v_words  text[] := regexp_split_to_array(btrim(public.search_text(left(p_code, -1))), '\s+');
    v_each   text[] := ARRAY(SELECT '%' || word || '%' FROM unnest(v_words) AS word);
    v_one    boolean := cardinality(v_words) = 1;
    -- The longest word is the one for the index. Two letters have no trigram of their own: there a word begins by them.
    v_word   text := (SELECT word FROM unnest(v_words) AS word ORDER BY length(word) DESC LIMIT 1);
    v_short  boolean := length(v_word) < 3;
    v_inside text := CASE WHEN v_short THEN '' ELSE '%' END || v_word || '%';
    v_after  text := CASE WHEN v_short THEN '% ' ELSE '%' END || v_word || '%';
    v_coded  boolean;
    v_found  integer;
BEGIN
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND lower(p.code) LIKE v_code AND p.code <> ''
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    ORDER BY lower(p.code) USING ~<~ LIMIT p_limit;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    v_coded := v_found > 0;
    IF v_found = p_limit THEN RETURN; END IF;

    -- A condition that begins with a flag is gone from the plan when the flag is set: a common word has 3,500 rows.
    RETURN QUERY
    WITH holding AS MATERIALIZED (
        SELECT p.id, p.search FROM public.price_items p
        WHERE p.tenant_id = v_tenant AND p.active AND (p.search LIKE v_inside OR p.search LIKE v_after)
          AND (v_one OR p.search LIKE ALL (v_each)) AND (NOT v_coded OR lower(p.code) NOT LIKE v_code)
          AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
        LIMIT 20000
    ), short AS MATERIALIZED (
        SELECT h.id, v_one OR h.search LIKE v_holds AS phrase,
               ' ' || translate(left(h.search, 500), ',;:()', '     ') || ' ' AS words
        FROM (SELECT id, search FROM holding
              ORDER BY v_one OR search LIKE v_holds DESC, length(search), id LIMIT 1000) AS h
    )
    SELECT p.* FROM short s JOIN public.price_items p ON p.id = s.id
    ORDER BY s.phrase DESC, v_short OR s.words LIKE '% ' || v_word || ' %' DESC,
             v_short OR s.words LIKE '% ' || v_word || '%' DESC, length(p.search), p.description, p.id
    LIMIT p_limit - v_found;
END $$;

-- What is missing to p_limit: items that resemble the query, other than those found already. Only when nothing was found
-- at all, some that resemble it less.
CREATE FUNCTION public.resembling_price_items(p_query text, p_found uuid[], p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions, pg_temp SET plan_cache_mode = force_custom_plan
    SET pg_trgm.word_similarity_threshold = 0.7 AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_query  text := left(public.search_text(p_query), 64);  -- what is longer resembles no head of 100
BEGIN
    IF show_trgm(v_query) = '{}' THEN RETURN; END IF;
    RETURN QUERY
    WITH alike AS MATERIALIZED (
        SELECT p.* FROM public.price_items p
        WHERE p.tenant_id = v_tenant AND p.active AND left(p.search, 100) %> v_query AND p.id <> ALL (p_found)
          AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
        LIMIT 500
    )
    SELECT a.* FROM alike a
    ORDER BY word_similarity(v_query, left(a.search, 100)) DESC, length(a.search), a.description, a.id
    LIMIT p_limit;
    IF FOUND OR cardinality(p_found) > 0 THEN RETURN; END IF;

    PERFORM set_config('pg_trgm.word_similarity_threshold', '0.6', true);
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND left(p.search, 100) %> v_query
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    LIMIT p_limit;
END $$;
