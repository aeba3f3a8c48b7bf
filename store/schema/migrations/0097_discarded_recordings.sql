-- Recordings that nobody wants: nothing is added to one any more, and what was on its way when it was discarded is refused.
-- Kept for a month, as long as a phone may have been away with what it had not sent.
CREATE TABLE public.discarded_recordings (
    tenant_id    uuid NOT NULL,
    visit_id     uuid NOT NULL,
    recording_id uuid NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, recording_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX discarded_recordings_of_visit ON public.discarded_recordings (visit_id);

ALTER TABLE public.discarded_recordings ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.discarded_recordings FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.discarded_recordings TO service_role;
GRANT SELECT, INSERT, DELETE ON public.discarded_recordings TO authenticated;
CREATE POLICY of_own_tenant ON public.discarded_recordings TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id()));
