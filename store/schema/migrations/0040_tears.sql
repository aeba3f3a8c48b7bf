-- All tears of a visit's stream, not the latest alone: a client that was away over two crashes may have seen what the
-- first of them took back.
ALTER TABLE public.visit_streams ADD COLUMN tears bigint[] NOT NULL DEFAULT '{}';
UPDATE public.visit_streams SET tears = ARRAY[torn_after] WHERE torn_after IS NOT NULL;
ALTER TABLE public.visit_streams DROP COLUMN torn_after;

-- As in 0014, with every tear kept: one more with each crash that a visit lives to see.
CREATE OR REPLACE FUNCTION scopekit.tear_stream(p_visit_id uuid, p_epoch bigint) RETURNS bigint LANGUAGE sql
    SET search_path = pg_catalog, public AS $$
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
    UPDATE public.visit_streams SET tears = tears || (last_seq - 1), last_seq = last_seq + 1048576, epoch = p_epoch
    WHERE visit_id = p_visit_id
    RETURNING last_seq
$$;

-- As in 0014, with `tears`; `torn_after`, the latest, is for relays of the version before, which run on while they are
-- replaced.
DROP FUNCTION scopekit.stream_heads(uuid[]);
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, job_event text, enabled boolean, torn_after bigint, tears bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.job_event,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false),
           s.tears[cardinality(s.tears)], coalesce(s.tears, '{}')
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

DROP FUNCTION scopekit.open_streams(uuid, uuid, uuid[], boolean);
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, torn_after bigint, tears bigint[],
                   job_id uuid, job_event text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0),
           s.tears[cardinality(s.tears)], coalesce(s.tears, '{}'), s.job_id, s.job_event,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

REVOKE ALL ON FUNCTION scopekit.stream_heads(uuid[]), scopekit.open_streams(uuid, uuid, uuid[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scopekit.stream_heads(uuid[]), scopekit.open_streams(uuid, uuid, uuid[], boolean)
    TO scopekit_gateway;
