-- Estimates: versions, lines, and what keeps them true.

-- One version of a visit's estimate; an edit makes the next. The figures agree with one another by CHECK, and with the
-- lines by the trigger below.
CREATE TABLE public.estimates (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    visit_id       uuid NOT NULL,
    version        integer NOT NULL CHECK (version >= 1),
    status         text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'accepted', 'declined', 'changes_requested')),
    job_id         uuid,  -- null: made by an edit
    engine         text NOT NULL,
    model          text NOT NULL,
    summary        text NOT NULL DEFAULT '',
    coverage       jsonb NOT NULL DEFAULT '[]',  -- plain sentences: what was and was not looked at
    usage          jsonb NOT NULL DEFAULT '{}',  -- model calls, tokens, cost
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal       numeric(14, 2) NOT NULL CHECK (subtotal >= 0),
    markup_rate    numeric(7, 5) NOT NULL DEFAULT 0 CHECK (markup_rate BETWEEN 0 AND 10),
    markup         numeric(14, 2) NOT NULL DEFAULT 0,
    discount_rate  numeric(7, 5) CHECK (discount_rate BETWEEN 0 AND 1),  -- null: a fixed sum
    discount_fixed numeric(14, 2) NOT NULL DEFAULT 0 CHECK (discount_fixed >= 0),
    discount       numeric(14, 2) NOT NULL DEFAULT 0,
    tax_rate       numeric(7, 5) NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
    tax            numeric(14, 2) NOT NULL,
    total          numeric(14, 2) NOT NULL,
    options        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(options) = 'array'),  -- good, better, best
    chosen_option  text NOT NULL DEFAULT '',  -- its lines are in the totals, with those of no option
    line_count     integer NOT NULL CHECK (line_count >= 1),
    unpriced_count integer NOT NULL,
    content_hash   text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    created_by     uuid,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, tenant_id),
    UNIQUE (visit_id, version),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT unpriced_are_lines CHECK (unpriced_count BETWEEN 0 AND line_count),
    CONSTRAINT markup_of_subtotal CHECK (markup = round(subtotal * markup_rate, 2)),
    CONSTRAINT discount_of_marked_up CHECK (discount = CASE
        WHEN discount_rate IS NOT NULL THEN round((subtotal + markup) * discount_rate, 2)
        ELSE least(discount_fixed, subtotal + markup) END),
    CONSTRAINT one_kind_of_discount CHECK (discount_rate IS NULL OR discount_fixed = 0),
    CONSTRAINT tax_of_what_is_left CHECK (tax = round((subtotal + markup - discount) * tax_rate, 2)),
    CONSTRAINT total_is_what_is_left_and_tax CHECK (total = subtotal + markup - discount + tax),
    CONSTRAINT chosen_is_an_option CHECK (
        CASE WHEN options = '[]' THEN chosen_option = '' ELSE options ? chosen_option END)
);
CREATE UNIQUE INDEX estimates_one_per_job ON public.estimates (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX estimates_newest ON public.estimates (tenant_id, created_at DESC);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.estimates
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- A line of an estimate.
CREATE TABLE public.estimate_lines (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id      uuid NOT NULL,
    estimate_id    uuid NOT NULL,
    position       integer NOT NULL CHECK (position >= 1),
    description    text NOT NULL CHECK (description <> '' AND length(description) <= 500),
    category       text NOT NULL DEFAULT '',
    option         text NOT NULL DEFAULT '' CHECK (length(option) <= 60),  -- '': in every option
    quantity       numeric(12, 3) NOT NULL CHECK (quantity > 0),
    unit           text NOT NULL CHECK (unit <> '' AND length(unit) <= 32),
    unit_price     numeric(12, 2) CHECK (unit_price >= 0),  -- null: unpriced, never a guess and never 0
    amount         numeric(14, 2),
    price_item_id  uuid,
    match          jsonb,
    evidence       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(evidence) = 'array'),
    assumptions    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(assumptions) = 'array'),
    confidence     numeric(4, 3) CHECK (confidence BETWEEN 0 AND 1),
    needs_review   boolean NOT NULL,
    review_reasons jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(review_reasons) = 'array'),
    UNIQUE (estimate_id, position),
    FOREIGN KEY (estimate_id, tenant_id) REFERENCES public.estimates (id, tenant_id) ON DELETE CASCADE,
    -- round() on numeric is half away from zero: ROUND_HALF_UP for amounts, which are never negative.
    CONSTRAINT amount_is_quantity_times_price CHECK (amount IS NOT DISTINCT FROM round(quantity * unit_price, 2))
);

-- At commit an estimate's totals agree with its lines, whoever wrote them: those of no option and of the chosen one.
CREATE FUNCTION public.check_estimate_totals() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
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

CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE ON public.estimates
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();
CREATE CONSTRAINT TRIGGER totals_agree AFTER INSERT OR UPDATE OR DELETE ON public.estimate_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_estimate_totals();

-- A decided version stays as it was decided on, whatever code path asks. An edit makes the next version, which has a
-- share and a decision of its own. A deleted visit takes all of it along.
CREATE FUNCTION scopekit.freeze_decided_estimate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM public.site_visits v
                                        WHERE v.id = (to_jsonb(OLD) ->> 'visit_id')::uuid) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
END $$;

-- So do its lines.
CREATE FUNCTION scopekit.freeze_decided_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The line's estimate before and after; in a cascade it is gone already.
    IF EXISTS (SELECT 1 FROM public.estimates e
               WHERE e.status <> 'draft' AND e.id IN (OLD.estimate_id, NEW.estimate_id)) THEN
        RAISE EXCEPTION 'a decided estimate does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;

CREATE TRIGGER freeze_decided_estimate BEFORE UPDATE OR DELETE ON public.estimates
    FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION scopekit.freeze_decided_estimate();
CREATE TRIGGER freeze_decided_lines BEFORE INSERT OR UPDATE OR DELETE ON public.estimate_lines
    FOR EACH ROW EXECUTE FUNCTION scopekit.freeze_decided_lines();
