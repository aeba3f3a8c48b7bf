-- What a file is, its bytes say; what its sender called it is kept beside.

ALTER TABLE public.site_visit_media
    ADD COLUMN declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255);
ALTER TABLE public.media_uploads
    ADD COLUMN declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255);
ALTER TABLE public.resumable_uploads
    ADD COLUMN declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255);
ALTER TABLE public.recording_chunks
    ADD COLUMN declared_type text NOT NULL DEFAULT '' CHECK (length(declared_type) <= 255);
