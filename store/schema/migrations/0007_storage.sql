-- Where media lie. An object is written once and never over: each attempt to upload a medium has a key of its own
-- below {tenant}/{visit}/{media}, and the row names the attempt that won. Two uploads of one id at once, or a retry
-- beside its own forgotten first try, can so never leave one's bytes under the other's hash.
DO $$
DECLARE
    v_name text;
BEGIN
    FOR v_name IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'public.site_visit_media'::regclass AND contype = 'c'
          AND pg_get_constraintdef(oid) LIKE '%storage_path%'
    LOOP
        EXECUTE format('ALTER TABLE public.site_visit_media DROP CONSTRAINT %I', v_name);
    END LOOP;
END $$;
ALTER TABLE public.site_visit_media ADD CONSTRAINT storage_path_is_its_own CHECK (
    storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '(/[0-9a-z]{1,32})?$'));

-- Uploads that go straight to the store: promised by a presigned form, media only once they are complete and true.
CREATE TABLE public.media_uploads (
    id            uuid NOT NULL,  -- the medium's, once it is one
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    content_type  text NOT NULL,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX media_uploads_of_visit ON public.media_uploads (visit_id);
CREATE INDEX media_uploads_expired ON public.media_uploads (expires_at);

ALTER TABLE public.media_uploads ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.media_uploads FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.media_uploads TO service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.media_uploads TO authenticated;
CREATE POLICY of_own_tenant ON public.media_uploads TO authenticated
    USING (tenant_id = (SELECT public.current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT public.current_tenant_id()));

-- On Supabase: the private bucket with its limits, and whose objects are whose. Elsewhere the gateway holds the same
-- rules over a plain S3 bucket, and none of this runs.
DO $$
BEGIN
    IF to_regclass('storage.buckets') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    VALUES ('site-visits', 'site-visits', false, 104857600, ARRAY[
        'image/jpeg', 'image/png', 'image/webp', 'image/heic', 'image/heif',
        'audio/webm', 'audio/mp4', 'audio/aac', 'audio/mpeg'])
    ON CONFLICT (id) DO UPDATE SET
        public             = EXCLUDED.public,
        file_size_limit    = EXCLUDED.file_size_limit,
        allowed_mime_types = EXCLUDED.allowed_mime_types;
END $$;

DO $$
DECLARE
    -- current_tenant_id() is null without a tenant in the token: then nothing matches.
    c_own CONSTANT text := $p$ bucket_id = 'site-visits'
        AND split_part(name, '/', 1) = (SELECT public.current_tenant_id())::text $p$;
BEGIN
    IF to_regclass('storage.objects') IS NULL THEN
        RETURN;
    END IF;
    -- Supabase has it on, and lets only the owner of the table switch it.
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = 'storage.objects'::regclass) THEN
        ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
    END IF;
    DROP POLICY IF EXISTS "site-visits: a tenant reads its own" ON storage.objects;
    DROP POLICY IF EXISTS "site-visits: a tenant adds its own" ON storage.objects;
    EXECUTE 'CREATE POLICY "site-visits: a tenant reads its own" ON storage.objects FOR SELECT TO authenticated '
            'USING (' || c_own || ')';
    -- No UPDATE and no DELETE: what a row vouches for by hash stays as it is, and goes only with its row.
    EXECUTE 'CREATE POLICY "site-visits: a tenant adds its own" ON storage.objects FOR INSERT TO authenticated '
            'WITH CHECK (' || c_own || ')';
END $$;
