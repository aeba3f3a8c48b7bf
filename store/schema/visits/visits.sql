-- Site visits, and what the app reports of them.

-- A visit to a site. Its status says how far its estimate is.
CREATE TABLE public.site_visits (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL REFERENCES public.tenants,
    title         text NOT NULL DEFAULT '' CHECK (length(title) <= 200),
    customer_name text NOT NULL DEFAULT '' CHECK (length(customer_name) <= 200),
    address       text NOT NULL DEFAULT '' CHECK (length(address) <= 500),
    notes         text NOT NULL DEFAULT '' CHECK (length(notes) <= 20000),
    status        text NOT NULL DEFAULT 'in_progress'
                  CHECK (status IN ('in_progress', 'finalizing', 'completed', 'failed')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    external_id   text CHECK (length(external_id) BETWEEN 1 AND 200),  -- how another system calls it
    metadata      jsonb NOT NULL DEFAULT '{}'
                  CHECK (jsonb_typeof(metadata) = 'object' AND pg_column_size(metadata) <= 16384),
    deleted_at    timestamptz,  -- in the bin since then
    deleted_by    uuid,
    purge_at      timestamptz,  -- when it goes for good, with its media
    UNIQUE (id, tenant_id),
    CONSTRAINT in_the_bin_or_not CHECK (num_nulls(deleted_at, purge_at) IN (0, 2))
);
CREATE INDEX site_visits_newest ON public.site_visits (tenant_id, created_at DESC);
CREATE UNIQUE INDEX site_visits_external_id ON public.site_visits (tenant_id, external_id)
    WHERE external_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX site_visits_in_bin ON public.site_visits (id) WHERE deleted_at IS NOT NULL;

-- What the app reports of its work offline. `upload_failed` with its attempts feeds an alert.
CREATE TABLE public.visit_sync_events (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id  uuid NOT NULL,
    visit_id   uuid NOT NULL,
    event      text NOT NULL CHECK (event <> '' AND length(event) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX visit_sync_events_of_visit ON public.visit_sync_events (visit_id);
CREATE INDEX visit_sync_events_recent ON public.visit_sync_events (event, created_at DESC);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.visit_sync_events
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Set the status of the visits of estimates. Locks them in the order of their ids, as every function does that locks
-- several.
CREATE FUNCTION scopekit.set_visits_status(p_visits uuid[], p_status text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_visits IS NULL THEN
        RETURN;
    END IF;
    PERFORM FROM public.site_visits WHERE id = ANY (p_visits) ORDER BY id FOR NO KEY UPDATE;
    UPDATE public.site_visits SET status = p_status, updated_at = now() WHERE id = ANY (p_visits);
END $$;
