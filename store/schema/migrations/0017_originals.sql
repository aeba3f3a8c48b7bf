-- What came as another type than the nine lies in a second bucket; its row names both.

ALTER TABLE public.site_visit_media
    ADD COLUMN original_path   text UNIQUE,
    ADD COLUMN original_type   text,
    ADD COLUMN original_size   bigint CHECK (original_size BETWEEN 1 AND 104857600),
    ADD COLUMN original_sha256 text CHECK (original_sha256 ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT original_path_is_its_own CHECK (
        original_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '/[0-9a-z]{1,32}$')),
    ADD CONSTRAINT original_is_whole CHECK (num_nulls(original_path, original_type, original_size, original_sha256) IN (0, 4));
DROP INDEX public.site_visit_media_sizes;
CREATE INDEX site_visit_media_sizes ON public.site_visit_media (tenant_id) INCLUDE (file_size, original_size);
CREATE INDEX site_visit_media_by_original_hash ON public.site_visit_media (visit_id, original_sha256)
    WHERE original_sha256 IS NOT NULL;

-- On Supabase: the private buckets with their limits. Elsewhere the gateway holds the same rules over plain S3 buckets,
-- and this does not run. Into the second one goes what came as another type, and what is not known yet.
DO $$
BEGIN
    IF to_regclass('storage.buckets') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    VALUES ('site-visits', 'site-visits', false, 104857600, ARRAY[
                'image/jpeg', 'image/png', 'image/webp', 'image/heic', 'image/heif',
                'audio/webm', 'audio/mp4', 'audio/aac', 'audio/mpeg']),
           ('site-visits-originals', 'site-visits-originals', false, 104857600, ARRAY[
                'image/avif', 'image/gif', 'audio/ogg', 'audio/wav', 'audio/flac', 'audio/aiff', 'audio/x-caf',
                'audio/amr', 'audio/3gpp', 'audio/x-matroska', 'video/quicktime', 'video/mp4', 'video/webm',
                'application/octet-stream'])
    ON CONFLICT (id) DO UPDATE SET
        public             = EXCLUDED.public,
        file_size_limit    = EXCLUDED.file_size_limit,
        allowed_mime_types = EXCLUDED.allowed_mime_types;
END $$;

-- Whose objects are whose. Elsewhere the gateway holds the same rules over a plain S3 bucket, and this does not run.
DO $$
DECLARE
    -- current_tenant_id() is null for a user who may not: then nothing matches.
    c_own CONSTANT text := $p$ bucket_id IN ('site-visits', 'site-visits-originals')
        AND split_part(name, '/', 1) = (SELECT public.current_tenant_id(%L))::text $p$;
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
            'USING (' || format(c_own, 'viewer') || ')';
    -- No UPDATE and no DELETE: what a row vouches for by hash stays as it is, and goes only with its row.
    EXECUTE 'CREATE POLICY "site-visits: a tenant adds its own" ON storage.objects FOR INSERT TO authenticated '
            'WITH CHECK (' || format(c_own, 'member') || ')';
END $$;
