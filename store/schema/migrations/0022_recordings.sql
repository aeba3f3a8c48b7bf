-- Recordings that arrive while they are made: chunks in their order, until they are joined into one medium. A chunk with
-- a header of its own is a whole file; one without continues the one before.
CREATE TABLE public.recording_chunks (
    tenant_id    uuid NOT NULL,
    visit_id     uuid NOT NULL,
    recording_id uuid NOT NULL,  -- the medium's, once it is one
    sequence     integer NOT NULL CHECK (sequence BETWEEN 0 AND 9999),
    storage_path text NOT NULL UNIQUE,
    content_type text NOT NULL,
    file_size    bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256       text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    is_whole     boolean NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, recording_id, sequence),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || recording_id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX recording_chunks_of_visit ON public.recording_chunks (visit_id);

ALTER TABLE public.recording_chunks ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.recording_chunks FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.recording_chunks TO service_role;
GRANT SELECT, INSERT, DELETE ON public.recording_chunks TO authenticated;
CREATE POLICY of_own_tenant ON public.recording_chunks TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id()));
