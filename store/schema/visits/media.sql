-- Photos and recordings of a visit: what is stored, what is on its way, and what is made of it.
--
-- An object is written once and never over. Each attempt to upload a medium has a key of its own below
-- {tenant}/{visit}/{media}, and the row names the attempt that won. So two uploads of one id at once, or a retry beside
-- its own forgotten first try, never leave one's bytes under the other's hash.

-- A stored photo or recording. Its row exists only once the object is durable.
CREATE TABLE public.site_visit_media (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    media_type    text NOT NULL CHECK (media_type IN ('photo', 'audio')),
    content_type  text NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    width         integer CHECK (width > 0),
    height        integer CHECK (height > 0),
    status        text NOT NULL DEFAULT 'stored' CHECK (status IN ('stored', 'needs_attention')),
    problem       text CHECK ((problem IS NULL) = (status = 'stored')),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- What its sender called it; what it is stands in content_type.
    declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255),
    note          text,  -- what is wrong with it, though it can be used
    -- What was sent, where it had to be turned into another type; it lies in the bucket of originals.
    original_path   text UNIQUE,
    original_type   text,
    original_size   bigint CHECK (original_size BETWEEN 1 AND 104857600),
    original_sha256 text CHECK (original_sha256 ~ '^[0-9a-f]{64}$'),
    UNIQUE (id, tenant_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    -- A client's file name never reaches the store.
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '(/[0-9a-z]{1,32})?$')),
    CONSTRAINT original_path_is_its_own CHECK (
        original_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '/[0-9a-z]{1,32}$')),
    CONSTRAINT original_is_whole CHECK (num_nulls(original_path, original_type, original_size, original_sha256) IN (0, 4))
);
CREATE INDEX site_visit_media_of_visit ON public.site_visit_media (visit_id, created_at);
-- Not unique: the same photo may hang in two visits, or twice in one.
CREATE INDEX site_visit_media_by_hash ON public.site_visit_media (visit_id, sha256);
CREATE INDEX site_visit_media_by_original_hash ON public.site_visit_media (visit_id, original_sha256)
    WHERE original_sha256 IS NOT NULL;
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.site_visit_media
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- The bytes of each company's media, so that nobody adds up a year of them.
--
-- Invariant: `bytes` is the sum over the company's media, originals counted in, in the snapshot of every transaction. The
-- triggers below hold it; a transaction that stores or deletes media keeps the row until it ends.
CREATE TABLE public.tenant_storage (
    tenant_id uuid PRIMARY KEY REFERENCES public.tenants ON DELETE CASCADE,
    bytes     bigint NOT NULL
);

-- Holds the invariant.
CREATE FUNCTION scopekit.count_stored_bytes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        INSERT INTO public.tenant_storage AS s (tenant_id, bytes)
        SELECT tenant_id, sum(file_size + coalesce(original_size, 0)) FROM after GROUP BY tenant_id ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    WHEN 'DELETE' THEN
        UPDATE public.tenant_storage AS s SET bytes = s.bytes - gone.bytes
        FROM (SELECT tenant_id, sum(file_size + coalesce(original_size, 0)) AS bytes FROM before GROUP BY tenant_id) AS gone
        WHERE s.tenant_id = gone.tenant_id;
    ELSE  -- A new label or state leaves the row alone: most updates are that.
        UPDATE public.tenant_storage AS s SET bytes = s.bytes + more.bytes
        FROM (SELECT tenant_id, sum(bytes) AS bytes
              FROM (SELECT tenant_id, file_size + coalesce(original_size, 0) AS bytes FROM after
                    UNION ALL SELECT tenant_id, -file_size - coalesce(original_size, 0) FROM before) AS sizes
              GROUP BY tenant_id HAVING sum(bytes) <> 0) AS more
        WHERE s.tenant_id = more.tenant_id;
    END CASE;
    RETURN NULL;
END $$;

CREATE TRIGGER count_added AFTER INSERT ON public.site_visit_media REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();
CREATE TRIGGER count_changed AFTER UPDATE ON public.site_visit_media REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();
CREATE TRIGGER count_removed AFTER DELETE ON public.site_visit_media REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();

-- What was said in a recording.
CREATE TABLE public.transcripts (
    media_id    uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    text        text NOT NULL,
    language    text,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    segments    jsonb NOT NULL DEFAULT '[]',
    words       jsonb NOT NULL DEFAULT '[]',
    engine      text NOT NULL,
    model       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (media_id, tenant_id) REFERENCES public.site_visit_media (id, tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX transcripts_of_visit ON public.transcripts (visit_id);
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.transcripts
    FOR EACH ROW EXECUTE FUNCTION scopekit.fill_tenant_id();

-- Uploads that go straight to the store: promised by a presigned form, media only once they are complete and checked.
-- A form can be used until it expires, also after its upload is complete. So its row stays, and keeps its room, until
-- the form is over and what it may have written since is deleted.
CREATE TABLE public.media_uploads (
    id            uuid NOT NULL,  -- the medium's, once it is one
    tenant_id     uuid NOT NULL,
    visit_id      uuid NOT NULL,
    storage_path  text NOT NULL UNIQUE,
    content_type  text NOT NULL,
    file_size     bigint NOT NULL CHECK (file_size BETWEEN 1 AND 104857600),
    room          bigint NOT NULL CHECK (room >= file_size),  -- what any form of it may still bring
    sha256        text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    original_name text NOT NULL DEFAULT '' CHECK (length(original_name) <= 255),
    label         text NOT NULL DEFAULT '' CHECK (length(label) <= 1000),
    sequence      integer CHECK (sequence >= 0),
    duration_ms   integer CHECK (duration_ms >= 0),
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    completed_at  timestamptz,
    declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX media_uploads_of_visit ON public.media_uploads (visit_id);
CREATE INDEX media_uploads_expired ON public.media_uploads (expires_at);

-- Resumable uploads: how much of a file has been received, durably, so that any gateway may go on with it. Whole parts of
-- 5 MiB lie in an S3 multipart upload; the bytes after the last of them lie in an object of its own, `tail_path`.
-- `received` is the offset the client was given, and never exceeds what these two hold.
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
    declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255),
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
    declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255),
    PRIMARY KEY (tenant_id, recording_id, sequence),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE,
    CONSTRAINT storage_path_is_its_own CHECK (
        storage_path ~ ('^' || tenant_id || '/' || visit_id || '/' || recording_id || '/[0-9a-z]{1,32}$'))
);
CREATE INDEX recording_chunks_of_visit ON public.recording_chunks (visit_id);

-- Discarded recordings: nothing is added to one any more, and a chunk on its way is refused. A row is kept for a month,
-- as long as a phone may have been away with unsent chunks.
CREATE TABLE public.discarded_recordings (
    tenant_id    uuid NOT NULL,
    visit_id     uuid NOT NULL,
    recording_id uuid NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, recording_id),
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX discarded_recordings_of_visit ON public.discarded_recordings (visit_id);

-- A worker is to make the JPEGs of a new photo, whoever inserts its row.
CREATE FUNCTION scopekit.enqueue_derivatives() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.jobs (job_type, tenant_id, visit_id, payload)
    VALUES ('photo_jpegs', NEW.tenant_id, NEW.visit_id, jsonb_build_object('media_id', NEW.id));
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_derivatives AFTER INSERT ON public.site_visit_media FOR EACH ROW
    WHEN (NEW.media_type = 'photo' AND NEW.status = 'stored') EXECUTE FUNCTION scopekit.enqueue_derivatives();

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
                'image/avif', 'image/gif', 'image/heif-sequence', 'audio/ogg', 'audio/wav', 'audio/flac', 'audio/aiff', 'audio/x-caf',
                'audio/amr', 'audio/3gpp', 'audio/x-matroska', 'video/quicktime', 'video/mp4', 'video/webm',
                'application/octet-stream'])
    ON CONFLICT (id) DO UPDATE SET
        public             = EXCLUDED.public,
        file_size_limit    = EXCLUDED.file_size_limit,
        allowed_mime_types = EXCLUDED.allowed_mime_types;
END $$;
