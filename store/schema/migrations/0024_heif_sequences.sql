-- The bucket of originals takes HEIF sequences, too.

DO $$
BEGIN
    IF to_regclass('storage.buckets') IS NULL THEN
        RETURN;
    END IF;
    UPDATE storage.buckets SET allowed_mime_types = allowed_mime_types || ARRAY['image/heif-sequence']
    WHERE id = 'site-visits-originals' AND NOT 'image/heif-sequence' = ANY (allowed_mime_types);
END $$;
