-- An event's visit is that of its stream: every INSERT of an event writes the stream's row, whose tenant must be the
-- event's and whose foreign key says that the visit is there, and holds it to the commit (0090, 0100). A foreign key of the
-- event's own asked the same once more: 4 of the 28 us that a job of a bulk enqueue took. What else it did is done below.
ALTER TABLE public.processing_events DROP CONSTRAINT processing_events_visit_id_tenant_id_fkey;

-- Events go with their visit. This comes after the cascades, and so after that to the stream, which waits for whoever is
-- writing an event: then it is seen here. Whoever begins one after that finds the stream gone, and no visit for another.
CREATE FUNCTION scopekit.forget_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.processing_events AS e USING gone WHERE e.visit_id = gone.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_events AFTER DELETE ON public.site_visits REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.forget_events();

-- And they stay with it.
CREATE FUNCTION scopekit.keep_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'event % of visit % keeps its visit, its number and its tenant', OLD.seq, OLD.visit_id
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Insert another event.';
END $$;
CREATE TRIGGER keep_event BEFORE UPDATE OF visit_id, seq, tenant_id ON public.processing_events
    FOR EACH ROW EXECUTE FUNCTION scopekit.keep_event();
REVOKE ALL ON FUNCTION scopekit.forget_events(), scopekit.keep_event() FROM PUBLIC, anon, authenticated;
