-- An event's visit is that of its stream: every INSERT of an event writes the stream's row, whose tenant must be the
-- event's and whose foreign key says that the visit is there, and holds it to the commit (0090, 0100). A foreign key of the
-- event's own asked the same once more: 4 us of each event. What else it did is done below.
ALTER TABLE public.processing_events DROP CONSTRAINT processing_events_visit_id_tenant_id_fkey;

-- Events go with their visit. This comes after the cascades, and so after that to the stream, which waits for whoever is
-- writing an event: then it is seen here. Whoever begins one after that finds the stream gone, and no visit for another.
-- A session keeps the plan of its first deletion, so that must suit one visit as well as thousands: by key, whatever the
-- statistics say.
CREATE FUNCTION scopekit.forget_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM public.processing_events WHERE visit_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END $$;
CREATE TRIGGER forget_events AFTER DELETE ON public.site_visits REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.forget_events();

-- A TRUNCATE that names both tables has the events already, and would not let go of them.
CREATE FUNCTION scopekit.forget_all_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (SELECT FROM public.processing_events) THEN
        TRUNCATE public.processing_events;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_all_events AFTER TRUNCATE ON public.site_visits
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.forget_all_events();

-- And they stay with it.
CREATE FUNCTION scopekit.keep_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'event % of visit % keeps its visit, its number and its tenant', OLD.seq, OLD.visit_id
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Insert another event.';
END $$;
CREATE TRIGGER keep_event BEFORE UPDATE ON public.processing_events FOR EACH ROW
    WHEN ((OLD.visit_id, OLD.seq, OLD.tenant_id) IS DISTINCT FROM (NEW.visit_id, NEW.seq, NEW.tenant_id))
    EXECUTE FUNCTION scopekit.keep_event();
REVOKE ALL ON FUNCTION scopekit.forget_events(), scopekit.forget_all_events(), scopekit.keep_event()
    FROM PUBLIC, anon, authenticated;
