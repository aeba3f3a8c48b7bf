-- What is wrong with a photo or recording that can be used all the same.

ALTER TABLE public.site_visit_media
    ADD COLUMN note text;
