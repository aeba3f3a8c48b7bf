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
CREATE INDEX price_items_code ON public.price_items (tenant_id, lower(code) text_pattern_ops)
    WHERE active AND code <> '';

-- Both searches answer within a p99 of 20 ms from 50,000 items. The indexes answer in 2 ms; what took 30 was
-- word_similarity(), 3 us a row and twice for each of 3,500 rows when one word of the query is common. So it is left to
-- the rows that nothing cheaper ranks, and few rows pass the operator's threshold.
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

-- First the items whose code begins with the query (p_code, a LIKE pattern). Then those that hold all its words: the
-- phrase as it stands (p_holds) first, then whole words, then short names. What is missing to p_limit is filled up by
-- items that resemble the query; only when there is nothing at all, by some that resemble it less. p_units NULL: any.
-- Planned for each query anew: which index serves depends on what is rare.
CREATE FUNCTION public.find_price_items(
        p_query text, p_holds text, p_code text, p_units text[], p_limit integer)
    RETURNS SETOF public.price_items LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, extensions, pg_temp SET plan_cache_mode = force_custom_plan
    SET pg_trgm.word_similarity_threshold = 0.7 AS $$
DECLARE
    v_tenant uuid := public.current_tenant_id();
    v_query  text := public.search_text(p_query);
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
    v_left   integer := p_limit;
BEGIN
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND lower(p.code) LIKE v_code AND p.code <> ''
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    ORDER BY lower(p.code) USING ~<~ LIMIT v_left;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    v_coded := v_found > 0;
    v_left := v_left - v_found;
    IF v_left = 0 THEN RETURN; END IF;

    -- A condition that begins with a flag is gone from the plan when the flag is set: a common word has 3,500 rows.

    RETURN QUERY
    SELECT p.* FROM public.price_items p,
         LATERAL (SELECT ' ' || translate(p.search, ',;:()', '     ') || ' ' AS words) AS spaced
    WHERE p.tenant_id = v_tenant AND p.active AND (p.search LIKE v_inside OR p.search LIKE v_after)
      AND (v_one OR p.search LIKE ALL (v_each)) AND (NOT v_coded OR lower(p.code) NOT LIKE v_code)
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    ORDER BY v_one OR p.search LIKE v_holds DESC, v_short OR spaced.words LIKE '% ' || v_word || ' %' DESC,
             v_short OR spaced.words LIKE '% ' || v_word || '%' DESC, length(p.search), p.description, p.id
    LIMIT v_left;
    GET DIAGNOSTICS v_found = ROW_COUNT;
    v_left := v_left - v_found;
    IF v_left = 0 OR show_trgm(v_query) = '{}' THEN RETURN; END IF;

    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND p.search %> v_query
      AND NOT p.search LIKE ALL (v_each) AND (NOT v_coded OR lower(p.code) NOT LIKE v_code)
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    ORDER BY word_similarity(v_query, p.search) DESC, length(p.search), p.description, p.id
    LIMIT v_left;
    IF FOUND OR v_left < p_limit THEN RETURN; END IF;

    PERFORM set_config('pg_trgm.word_similarity_threshold', '0.6', true);
    RETURN QUERY
    SELECT p.* FROM public.price_items p
    WHERE p.tenant_id = v_tenant AND p.active AND p.search %> v_query
      AND (p_units IS NULL OR lower(p.unit) = ANY (p_units))
    LIMIT p_limit;
END $$;

-- For each wanted phrase the items whose words hold at least p_covers of it, best first; see price_items.sql.
CREATE FUNCTION public.price_candidates(
        p_tenant uuid, p_keys integer[], p_phrases text[], p_units text[], p_unit_keys integer[],
        p_covers real, p_limit integer)
    RETURNS TABLE (key integer, id uuid, description text, category text, unit text, unit_price numeric,
                   covers real, contained real) LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, extensions, pg_temp SET pg_trgm.word_similarity_threshold = 0.7 AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('pg_trgm.word_similarity_threshold', p_covers::text, true);
    RETURN QUERY
    WITH wanted AS (
        SELECT key, public.search_text(phrase) AS phrase FROM unnest(p_keys, p_phrases) AS w(key, phrase)
    )
    SELECT w.key, c.id, c.description, c.category, c.unit, c.unit_price, c.covers, c.contained
    FROM wanted w CROSS JOIN LATERAL (
        SELECT alike.* FROM (
            SELECT p.id, p.description, p.category, p.unit, p.unit_price, word_similarity(w.phrase, p.search) AS covers,
                   word_similarity(p.search, w.phrase) AS contained
            FROM public.price_items p
            WHERE p.tenant_id = p_tenant AND p.active AND p.search %> w.phrase
              AND lower(p.unit) IN (SELECT u.unit FROM unnest(p_units, p_unit_keys) AS u(unit, key) WHERE u.key = w.key)
            OFFSET 0  -- or each similarity is reckoned once for the order and once more for the answer
        ) alike
        ORDER BY alike.covers + alike.contained DESC, alike.id
        LIMIT p_limit
    ) c
    ORDER BY w.key, c.covers + c.contained DESC, c.id;
END $$;
