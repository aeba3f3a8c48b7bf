-- A ticket opens a stream and resumes it, for as long as the token it stands for: an EventSource repeats its address.

ALTER TABLE public.progress_tickets SET LOGGED;
DROP FUNCTION scopekit.redeem_ticket(bytea);

-- Whose a ticket to a visit's stream is: the claims it stands for, or no row. With p_opens it is a stream's from now on,
-- and good for as long as its claims; those that nobody came for go.
CREATE FUNCTION scopekit.use_ticket(p_hash bytea, p_visit_id uuid, p_opens boolean)
    RETURNS SETOF jsonb LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH opened AS (
        UPDATE public.progress_tickets t SET expires_at = to_timestamp((t.claims ->> 'exp')::double precision)
        WHERE p_opens AND t.ticket_hash = p_hash AND t.visit_id = p_visit_id AND t.expires_at > clock_timestamp()
          AND t.expires_at <> to_timestamp((t.claims ->> 'exp')::double precision)
        RETURNING t.ticket_hash
    ), swept AS (
        DELETE FROM public.progress_tickets t
        WHERE EXISTS (SELECT 1 FROM opened) AND t.expires_at < now() - interval '1 minute'
    )
    SELECT t.claims FROM public.progress_tickets t
    WHERE t.ticket_hash = p_hash AND t.visit_id = p_visit_id AND t.expires_at > clock_timestamp()
$$;
REVOKE ALL ON FUNCTION scopekit.use_ticket(bytea, uuid, boolean) FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.use_ticket(bytea, uuid, boolean) TO scopekit_gateway, service_role;
