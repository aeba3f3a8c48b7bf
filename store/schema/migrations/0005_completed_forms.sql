-- A presigned form's row outlives its completion: until the form is over and what it wrote since is deleted.

ALTER TABLE public.media_uploads ADD COLUMN completed_at timestamptz;

REVOKE DELETE ON public.media_uploads FROM authenticated;
