-- What a tenant may use, where it differs from the deployment's defaults: `media_bytes`, a number.
ALTER TABLE public.tenant_settings ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CHECK (
    jsonb_typeof(limits) = 'object'
    AND (NOT limits ? 'media_bytes' OR jsonb_typeof(limits -> 'media_bytes') = 'number'));
-- A tenant's sum is read before each upload, from the index alone.
CREATE INDEX site_visit_media_sizes ON public.site_visit_media (tenant_id) INCLUDE (file_size);
