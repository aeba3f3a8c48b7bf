-- Uploads that survive the field: what has been received of a file, durable, so that any gateway may go on with it.
-- Whole parts of 5 MiB lie in an S3 multipart upload; what came after the last of them lies in an object of its own,
-- `tail_path`. `received` is what a client has been told, and it never exceeds what these two hold.
CREATE TABLE public.resumable_uploads (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    media_id      uuid NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    content_type  text NOT NULL,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    metadata      text NOT NULL DEFAULT '' CHECK (length(metadata) <= 8192),  -- as the client sent it
    received      bigint NOT NULL DEFAULT 0 CHECK (received BETWEEN 0 AND file_size),
    multipart_id  text,
    etags         text[] NOT NULL DEFAULT '{}',
    tail_path     text,
    writer        uuid,
    writer_until  timestamptz,
    stored_at     timestamptz,
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    UNIQUE (tenant_id, media_id),  -- to ask again is to go on
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || media_id || '/[0-9a-z]{1,32}$')),
    CONSTRAINT tail_lies_beside CHECK (tail_path ~ ('^' || storage_path || '-[0-9a-z]{1,32}$')),
    CONSTRAINT writer_has_a_deadline CHECK ((writer IS NULL) = (writer_until IS NULL)),
    CONSTRAINT stored_when_whole CHECK (stored_at IS NULL OR (received = file_size AND writer IS NULL)),
    -- All but the last part are full; the last one is sent when the file is whole, and then there is no tail.
    CONSTRAINT parts_and_tail_hold_it CHECK (
        CASE WHEN received = file_size
             THEN tail_path IS NULL AND cardinality(etags) = ceil(file_size / 5242880.0)
             ELSE received - 5242880 * cardinality(etags) BETWEEN 0 AND 5242879
                  AND (tail_path IS NULL) = (received = 5242880 * cardinality(etags))
        END),
    CONSTRAINT parts_have_an_upload CHECK (cardinality(etags) = 0 OR multipart_id IS NOT NULL)
);
CREATE INDEX resumable_uploads_of_visit ON public.resumable_uploads (visit_id);
CREATE INDEX resumable_uploads_open ON public.resumable_uploads (tenant_id) WHERE stored_at IS NULL;
CREATE INDEX resumable_uploads_expired ON public.resumable_uploads (expires_at);

ALTER TABLE public.resumable_uploads ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.resumable_uploads FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.resumable_uploads TO service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.resumable_uploads TO authenticated;
CREATE POLICY of_own_tenant ON public.resumable_uploads TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id()));
