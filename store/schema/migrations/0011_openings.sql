-- What streams are opened with, in one round trip: whether this tenant has streams, whether the visit is its own, where
-- the visit's stream stands and, when asked for, what its latest job has done up to there. A row for each visit asked
-- for. The tenant is the verified token's; the comparison is the one that the policy of_own_tenant makes.
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, job_id uuid, job_event text,
                   steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0), s.job_id, s.job_event,
           coalesce(snapshot.steps, '{}')
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;
REVOKE ALL ON FUNCTION scopekit.open_streams(uuid, uuid[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.open_streams(uuid, uuid[], boolean) TO scopekit_gateway;
