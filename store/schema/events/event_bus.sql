-- A second way for events to the relays, for fleets that NOTIFY holds up: it locks the whole database to the end of each
-- commit, and wakes every listener for every event. By this way the trigger only notes the row; one process of the fleet,
-- the bus leader, takes what was committed since its last look and puts it on a stream that all gateways read.
--
-- Both ways are open while gateways of both kinds run. A way that is opened is so at once, for the trigger reads
-- sequences, which are not of any snapshot, and it reads them when its transaction has its number. So what was running
-- when a way was opened may go by without it, and nothing that began later: whoever opens one waits for the former.
-- Unlogged: after a crash, a promotion or a restored base backup there is NOTIFY alone, until a bus leader comes back.

-- State of each way: 1 as in a new database; 2 closed; 3 being opened; beyond that the transaction by which it was opened.
CREATE UNLOGGED SEQUENCE scopekit.notify_transport;
CREATE UNLOGGED SEQUENCE scopekit.bus_transport;
SELECT setval('scopekit.notify_transport', 1), setval('scopekit.bus_transport', 1);

-- What was inserted, for the bus leader. Written once, read once by transaction number, and cleared every second; the
-- table of events is the truth, so this one needs no WAL.
CREATE UNLOGGED TABLE scopekit.event_outbox (
    xact     xid8   NOT NULL DEFAULT pg_current_xact_id(),
    visit_id uuid   NOT NULL,
    seq      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX event_outbox_xact ON scopekit.event_outbox (xact);

-- Open a way. Returns the transaction by which it was opened: transactions that ran then may have gone by without it.
-- A dump brings the sequences along, and not the count of transactions: a number that this database has not come to is
-- another's, and whoever waited for it would wait for ever.
CREATE FUNCTION scopekit.enable_transport(p_transport regclass) RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_opened CONSTANT bigint := pg_sequence_last_value(p_transport);
BEGIN
    IF v_opened > 3 AND v_opened < pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RETURN v_opened;
    END IF;
    PERFORM setval(p_transport, 3);  -- whoever finds it so, because this session ended here, opens it once more
    RETURN setval(p_transport, pg_current_xact_id()::text::bigint);
END $$;

-- This session listens: as long as it lives, NOTIFY is not closed. Returns by which transaction it was opened; 0: always.
CREATE FUNCTION scopekit.register_listener() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(hashtextextended('scopekit listeners', 0));
    IF coalesce(pg_sequence_last_value('scopekit.notify_transport'), 1) = 1 THEN
        RETURN 0;
    END IF;
    RETURN scopekit.enable_transport('scopekit.notify_transport');
END $$;

-- Whether there is a bus leader.
CREATE FUNCTION scopekit.bus_has_leader() RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT pg_try_advisory_xact_lock_shared(hashtextextended('scopekit bus leader', 0))
$$;

-- Make this session the leader's, as long as it lives. Returns by which transaction its way was opened; null when there
-- is another.
CREATE FUNCTION scopekit.lead_bus() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT pg_try_advisory_lock(hashtextextended('scopekit bus leader', 0)) THEN
        RETURN NULL;
    END IF;
    RETURN scopekit.enable_transport('scopekit.bus_transport');
END $$;

-- What this snapshot shows and the one before did not: exactly what was committed in between, however long it ran. What a
-- snapshot did not show is all from its end on, and every transaction running in it: so nothing is looked at again,
-- however long an open transaction keeps it from being cleared. What no transaction of this database has written yet came
-- with a dump. Of a visit it is the next numbers, for they are in the order of commits. More than p_limit is cut off.
CREATE FUNCTION scopekit.committed_since(p_since pg_snapshot, p_limit integer)
    RETURNS TABLE (snapshot pg_snapshot, notifications text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    SELECT pg_current_snapshot(),
           coalesce(array_agg(scopekit.event_notification(visit_id, seq, document) ORDER BY seq), '{}')
    FROM (
        SELECT e.visit_id, e.seq, scopekit.event_document(e) AS document
        FROM (
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact >= pg_snapshot_xmax(p_since) AND xact < pg_snapshot_xmax(pg_current_snapshot())
            UNION ALL
            SELECT visit_id, seq FROM scopekit.event_outbox
            WHERE xact = ANY (ARRAY(SELECT pg_snapshot_xip(p_since)))
        ) AS o JOIN public.processing_events e ON e.visit_id = o.visit_id AND e.seq = o.seq
        LIMIT p_limit
    ) AS found
$$;

-- Clear what was taken up to a snapshot, and close NOTIFY once nobody listens any more. What has heaped up is cleared
-- piece by piece: the bus leader waits 2 s for an answer, not longer.
CREATE FUNCTION scopekit.maintain_bus(p_since pg_snapshot) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM scopekit.event_outbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM scopekit.event_outbox WHERE xact < pg_snapshot_xmin(p_since) LIMIT 50000));
    IF pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2
       AND pg_try_advisory_xact_lock(hashtextextended('scopekit listeners', 0)) THEN
        PERFORM setval('scopekit.notify_transport', 2);
    END IF;
END $$;

-- Close the leader's way when there is no bus leader any more, and open NOTIFY again. Returns whether that was so.
CREATE FUNCTION scopekit.disable_bus() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF coalesce(pg_sequence_last_value('scopekit.bus_transport'), 1) = 1
       OR NOT pg_try_advisory_xact_lock(hashtextextended('scopekit bus leader', 0)) THEN
        RETURN false;
    END IF;
    PERFORM scopekit.enable_transport('scopekit.notify_transport');
    PERFORM setval('scopekit.bus_transport', 1);
    DELETE FROM scopekit.event_outbox;
    RETURN true;
END $$;
