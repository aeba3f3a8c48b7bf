-- A company's use is read without adding up all of its media and estimates.

CREATE INDEX estimates_newest ON public.estimates (tenant_id, created_at DESC);

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

REVOKE ALL ON FUNCTION scopekit.count_stored_bytes() FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.count_stored_bytes() TO service_role;
ALTER TABLE public.tenant_storage ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.tenant_storage FROM PUBLIC, anon, authenticated, scopekit_gateway, service_role;
GRANT ALL ON public.tenant_storage TO service_role;

-- What is stored meanwhile waits for this.
LOCK TABLE public.site_visit_media IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO public.tenant_storage (tenant_id, bytes)
SELECT tenant_id, sum(file_size + coalesce(original_size, 0)) FROM public.site_visit_media GROUP BY tenant_id;
DROP INDEX public.site_visit_media_sizes;
CREATE TRIGGER count_added AFTER INSERT ON public.site_visit_media REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();
CREATE TRIGGER count_changed AFTER UPDATE ON public.site_visit_media REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();
CREATE TRIGGER count_removed AFTER DELETE ON public.site_visit_media REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.count_stored_bytes();

CREATE OR REPLACE FUNCTION scopekit.stored_bytes() RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce((SELECT bytes FROM public.tenant_storage WHERE tenant_id = (SELECT public.current_tenant_id())), 0)::numeric
$$;

CREATE OR REPLACE FUNCTION scopekit.tenant_usage()
    RETURNS TABLE (tenant_id uuid, name text, visits_today bigint, estimates_today bigint, total_mb numeric)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id, t.name,
           (SELECT count(*) FROM public.site_visits v
            WHERE v.tenant_id = t.id AND v.created_at >= date_trunc('day', now())),
           (SELECT count(*) FROM public.estimates e
            WHERE e.tenant_id = t.id AND e.created_at >= date_trunc('day', now())),
           round(coalesce(s.bytes, 0) / 1048576.0, 2)
    FROM public.tenants t LEFT JOIN public.tenant_storage s ON s.tenant_id = t.id ORDER BY t.name, t.id
$$;
