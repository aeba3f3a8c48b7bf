-- A second way for events to the relays, for fleets that NOTIFY holds up: it locks the whole database to the end of each
-- commit, and wakes every listener for every event. By this way the trigger only notes the row; one process of the fleet,
-- the carrier, takes what was committed since its last look and puts it on a stream that all gateways read.
--
-- Both ways are open while gateways of both kinds run. A way that is opened is so at once, for the trigger reads
-- sequences, which are not of any snapshot, and it reads them when its transaction has its number. So what was running
-- when a way was opened may go by without it, and nothing that began later: whoever opens one waits for the former.
-- Unlogged: after a crash, a promotion or a restored base backup there is NOTIFY alone, until a carrier comes back.

-- 1 as in a new database; 2 closed; 3 being opened; beyond that the transaction by which it was opened.
CREATE UNLOGGED SEQUENCE scopekit.notify_way;
CREATE UNLOGGED SEQUENCE scopekit.bus_way;
SELECT setval('scopekit.notify_way', 1), setval('scopekit.bus_way', 1);

-- What was inserted, for the carrier. Written once, read once by transaction number, and cleared every second; the table
-- of events is the truth, so this one needs no WAL.
CREATE UNLOGGED TABLE scopekit.event_outbox (
    xact     xid8   NOT NULL DEFAULT pg_current_xact_id(),
    visit_id uuid   NOT NULL,
    seq      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX event_outbox_xact ON scopekit.event_outbox (xact);

-- What is told of an event: all of it, or only its number where NOTIFY, which takes less than 8,000 bytes, could not.
CREATE FUNCTION scopekit.event_word(p_visit_id uuid, p_seq bigint, p_document text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(p_document) < 7900 THEN p_document
                ELSE '{"visit_id":"' || p_visit_id || '","seq":' || p_seq || '}' END
$$;

-- As in 0014, by both ways.
CREATE OR REPLACE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    v_of_job   CONSTANT boolean := NEW.type LIKE 'job.%';
    v_epoch    bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_written  bigint;
    v_document text;
BEGIN
    IF v_epoch IS NULL THEN  -- two who come here at once make two epochs, and a few streams leap twice
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN v_of_job THEN NEW.type END, v_epoch)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq  = stream.last_seq + 1,
        job_id    = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        job_event = CASE WHEN v_of_job THEN NEW.type ELSE stream.job_event END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq, stream.epoch INTO NEW.seq, v_written;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_written <> v_epoch OR (NEW.seq = 1 AND v_epoch > 1 AND EXISTS (  -- the crash may have taken the whole stream
        SELECT 1 FROM public.site_visits v
        WHERE v.id = NEW.visit_id AND v.created_at < to_timestamp(v_epoch / 1000000.0))) THEN
        NEW.seq := scopekit.tear_stream(NEW.visit_id, v_epoch);
    END IF;
    IF pg_sequence_last_value('scopekit.bus_way') > 2 THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) VALUES (NEW.visit_id, NEW.seq);
    END IF;
    IF pg_sequence_last_value('scopekit.notify_way') IS DISTINCT FROM 2 THEN
        v_document := scopekit.event_document(NEW);
        PERFORM pg_notify('processing_events', scopekit.event_word(NEW.visit_id, NEW.seq, v_document));
    END IF;
    RETURN NEW;
END $$;

-- Opens a way, and returns the transaction by which it was: what was running then may have gone by without it.
CREATE FUNCTION scopekit.open_way(p_way regclass) RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF pg_sequence_last_value(p_way) > 3 THEN
        RETURN pg_sequence_last_value(p_way);
    END IF;
    PERFORM setval(p_way, 3);  -- whoever finds it so, because this session ended here, opens it once more
    RETURN setval(p_way, pg_current_xact_id()::text::bigint);
END $$;

-- This session listens: as long as it lives, NOTIFY is not closed. Returns by which transaction it was opened; 0 for ever.
CREATE FUNCTION scopekit.hear_by_notify() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(hashtextextended('scopekit listeners', 0));
    IF coalesce(pg_sequence_last_value('scopekit.notify_way'), 1) = 1 THEN
        RETURN 0;
    END IF;
    RETURN scopekit.open_way('scopekit.notify_way');
END $$;

-- Whether there is a carrier.
CREATE FUNCTION scopekit.bus_is_carried() RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT pg_try_advisory_xact_lock_shared(hashtextextended('scopekit carrier', 0))
$$;

-- Makes this session the carrier's, as long as it lives: returns by which transaction its way was opened; null when
-- there is another.
CREATE FUNCTION scopekit.carry_bus() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT pg_try_advisory_lock(hashtextextended('scopekit carrier', 0)) THEN
        RETURN NULL;
    END IF;
    RETURN scopekit.open_way('scopekit.bus_way');
END $$;

-- What this snapshot shows and the one before did not: exactly what was committed in between, whatever ran how long. Of
-- a visit it is the next numbers, for they are in the order of commits. More than p_limit is only shown to be so.
CREATE FUNCTION scopekit.committed_since(p_since pg_snapshot, p_limit integer)
    RETURNS TABLE (snapshot pg_snapshot, words text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT pg_current_snapshot(),
           coalesce(array_agg(scopekit.event_word(visit_id, seq, document) ORDER BY seq), '{}')
    FROM (
        SELECT e.visit_id, e.seq, scopekit.event_document(e) AS document
        FROM scopekit.event_outbox o JOIN public.processing_events e ON e.visit_id = o.visit_id AND e.seq = o.seq
        WHERE o.xact >= pg_snapshot_xmin(p_since) AND NOT pg_visible_in_snapshot(o.xact, p_since)
        LIMIT p_limit
    ) AS found
$$;

-- Clears what was taken up to a snapshot, and closes NOTIFY once nobody listens any more.
CREATE FUNCTION scopekit.tend_bus(p_since pg_snapshot) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM scopekit.event_outbox WHERE xact < pg_snapshot_xmin(p_since);
    IF pg_sequence_last_value('scopekit.notify_way') IS DISTINCT FROM 2
       AND pg_try_advisory_xact_lock(hashtextextended('scopekit listeners', 0)) THEN
        PERFORM setval('scopekit.notify_way', 2);
    END IF;
END $$;

-- Closes the carrier's way when there is no carrier any more, and opens NOTIFY again. Returns whether that was so.
CREATE FUNCTION scopekit.retire_bus() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF coalesce(pg_sequence_last_value('scopekit.bus_way'), 1) = 1
       OR NOT pg_try_advisory_xact_lock(hashtextextended('scopekit carrier', 0)) THEN
        RETURN false;
    END IF;
    PERFORM scopekit.open_way('scopekit.notify_way');
    PERFORM setval('scopekit.bus_way', 1);
    DELETE FROM scopekit.event_outbox;
    RETURN true;
END $$;

DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOREACH v_function IN ARRAY ARRAY[
        'scopekit.event_word(uuid, bigint, text)', 'scopekit.open_way(regclass)', 'scopekit.hear_by_notify()',
        'scopekit.bus_is_carried()', 'scopekit.carry_bus()', 'scopekit.committed_since(pg_snapshot, integer)',
        'scopekit.tend_bus(pg_snapshot)', 'scopekit.retire_bus()']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION scopekit.hear_by_notify(), scopekit.bus_is_carried(), scopekit.carry_bus(),
                          scopekit.committed_since(pg_snapshot, integer), scopekit.tend_bus(pg_snapshot)
    TO scopekit_gateway;
GRANT EXECUTE ON FUNCTION scopekit.retire_bus() TO service_role;
