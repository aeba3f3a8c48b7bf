-- Photos whose JPEGs for people's eyes a worker is still to make. A list of its own and not jobs of the queue: each of
-- those is told on its visit's stream and ends it, counts in the visit's state, the depth and the alerts, and needs a
-- lease because its result may be written once. Here the work may be done twice, and by whoever asks for it sooner.
CREATE TABLE public.derivatives_wanted (
    media_id  uuid PRIMARY KEY REFERENCES public.site_visit_media (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES public.tenants (id) ON DELETE CASCADE,
    tries     smallint NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 3),
    due_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX derivatives_wanted_due ON public.derivatives_wanted (due_at) WHERE tries < 3;
CREATE INDEX derivatives_wanted_of_tenant ON public.derivatives_wanted (tenant_id);

ALTER TABLE public.derivatives_wanted ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.derivatives_wanted FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.derivatives_wanted TO service_role;

-- In the transaction that gives a photo its row, whoever inserts it.
CREATE FUNCTION scopekit.want_derivatives() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.derivatives_wanted (media_id, tenant_id) VALUES (NEW.id, NEW.tenant_id);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION scopekit.want_derivatives() FROM PUBLIC, anon, authenticated;
CREATE TRIGGER want_derivatives AFTER INSERT ON public.site_visit_media FOR EACH ROW
    WHEN (NEW.media_type = 'photo' AND NEW.status = 'stored') EXECUTE FUNCTION scopekit.want_derivatives();
