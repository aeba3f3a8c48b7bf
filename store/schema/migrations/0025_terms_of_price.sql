-- Markup, discount and options (good, better, best) of an estimate. What a version without them says does not change.
ALTER TABLE public.estimates
    ADD COLUMN markup_rate    numeric(7, 5) NOT NULL DEFAULT 0 CHECK (markup_rate BETWEEN 0 AND 10),
    ADD COLUMN markup         numeric(14, 2) NOT NULL DEFAULT 0,
    ADD COLUMN discount_rate  numeric(7, 5) CHECK (discount_rate BETWEEN 0 AND 1),  -- null: a fixed sum
    ADD COLUMN discount_fixed numeric(14, 2) NOT NULL DEFAULT 0 CHECK (discount_fixed >= 0),
    ADD COLUMN discount       numeric(14, 2) NOT NULL DEFAULT 0,
    ADD COLUMN options        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(options) = 'array'),
    ADD COLUMN chosen_option  text NOT NULL DEFAULT '',  -- whose lines are in the totals, with those of no option
    DROP CONSTRAINT estimates_check,
    DROP CONSTRAINT estimates_check1,
    ADD CONSTRAINT markup_of_subtotal CHECK (markup = round(subtotal * markup_rate, 2)),
    ADD CONSTRAINT discount_of_marked_up CHECK (discount = CASE
        WHEN discount_rate IS NOT NULL THEN round((subtotal + markup) * discount_rate, 2)
        ELSE least(discount_fixed, subtotal + markup) END),
    ADD CONSTRAINT one_kind_of_discount CHECK (discount_rate IS NULL OR discount_fixed = 0),
    ADD CONSTRAINT tax_of_what_is_left CHECK (tax = round((subtotal + markup - discount) * tax_rate, 2)),
    ADD CONSTRAINT total_is_what_is_left_and_tax CHECK (total = subtotal + markup - discount + tax),
    ADD CONSTRAINT chosen_is_an_option CHECK (
        CASE WHEN options = '[]' THEN chosen_option = '' ELSE options ? chosen_option END);

ALTER TABLE public.estimate_lines
    ADD COLUMN option text NOT NULL DEFAULT '' CHECK (length(option) <= 60);  -- '': in every option

-- At commit an estimate's totals agree with its lines, whoever wrote them: those of no option and of the chosen one.
CREATE OR REPLACE FUNCTION public.check_estimate_totals() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_estimate public.estimates;
    v_lines    record;
BEGIN
    SELECT * INTO v_estimate FROM public.estimates
    WHERE id = CASE TG_TABLE_NAME WHEN 'estimates' THEN coalesce(NEW.id, OLD.id) END
       OR id = CASE TG_TABLE_NAME WHEN 'estimate_lines' THEN
               (to_jsonb(coalesce(NEW, OLD)) ->> 'estimate_id')::uuid END;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) AS lines, count(*) FILTER (WHERE amount IS NULL AND counts) AS unpriced,
           coalesce(sum(amount) FILTER (WHERE counts), 0) AS subtotal,
           count(*) FILTER (WHERE NOT offered) AS strays
    INTO v_lines
    FROM (SELECT amount, option IN ('', v_estimate.chosen_option) AS counts,
                 option = '' OR v_estimate.options ? option AS offered
          FROM public.estimate_lines WHERE estimate_id = v_estimate.id) AS line;
    IF (v_estimate.line_count, v_estimate.unpriced_count, v_estimate.subtotal, 0)
       IS DISTINCT FROM (v_lines.lines::integer, v_lines.unpriced::integer, v_lines.subtotal, v_lines.strays::integer)
    THEN
        RAISE EXCEPTION 'estimate % does not agree with its lines', v_estimate.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- The customer's document with what it costs and the options it offers: laid over `share_session`, so that either may
-- grow by itself. Each option's own subtotal stands beside its name; their order is the contractor's.
CREATE FUNCTION scopekit.share_document(p_token_hash bytea, p_session_hash bytea)
    RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT jsonb_set(
        jsonb_set(d.document, '{estimate}', d.document -> 'estimate' || jsonb_build_object(
            'markup_rate', e.markup_rate::text, 'markup', e.markup::text,
            'discount_rate', e.discount_rate::text, 'discount', e.discount::text,
            'chosen_option', e.chosen_option,
            'options', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'name', o.name,
                    'subtotal', (SELECT coalesce(sum(l.amount), 0)::text FROM public.estimate_lines l
                                 WHERE l.estimate_id = e.id AND l.option IN ('', o.name))) ORDER BY o.place), '[]')
                FROM jsonb_array_elements_text(e.options) WITH ORDINALITY AS o(name, place)))),
        '{lines}', (
            SELECT coalesce(jsonb_agg(line.content || jsonb_build_object('option', l.option) ORDER BY line.place), '[]')
            FROM jsonb_array_elements(d.document -> 'lines') WITH ORDINALITY AS line(content, place)
            JOIN public.estimate_lines l ON l.estimate_id = e.id AND l.position = line.place))
    FROM (SELECT scopekit.share_session(p_token_hash, p_session_hash) AS document) d
    JOIN public.estimates e ON e.id = (d.document -> 'estimate' ->> 'id')::uuid
$$;
REVOKE ALL ON FUNCTION scopekit.share_document(bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.share_document(bytea, bytea) TO scopekit_gateway;
