-- What is told of an event: all of it, or only its number where NOTIFY, which takes less than 8,000 bytes, could not. As
-- in 0090, but with casts: an IMMUTABLE function is not inlined while what it says is only STABLE, as text || uuid is.
CREATE OR REPLACE FUNCTION scopekit.event_word(p_visit_id uuid, p_seq bigint, p_document text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(p_document) < 7900 THEN p_document
                ELSE '{"visit_id":"' || p_visit_id::text || '","seq":' || p_seq::text || '}' END
$$;

-- Of more than p_whole events the numbers are told many to a notification, a line each. One by one, a statement that
-- queued 30,000 jobs held the loop of every gateway up for 30,000 calls, and was itself a tenth slower. Gateways that
-- listen say that they take them so; while one does that has not said it, of a release before, they come one by one.
-- (If it comes between that look and the commit, it hears of such events with the next of their visits.)
CREATE FUNCTION scopekit.hear_many_by_notify() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(hashtextextended('scopekit listeners to many', 0));
    RETURN scopekit.hear_by_notify();
END $$;

CREATE FUNCTION scopekit.all_hear_many() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH listener AS MATERIALIZED (
        SELECT pid, (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT NOT EXISTS (
        SELECT pid FROM listener WHERE key = hashtextextended('scopekit listeners', 0)
        EXCEPT SELECT pid FROM listener WHERE key = hashtextextended('scopekit listeners to many', 0))
$$;
REVOKE ALL ON FUNCTION scopekit.hear_many_by_notify(), scopekit.all_hear_many() FROM PUBLIC, anon, authenticated;
GRANT EXECUTE ON FUNCTION scopekit.hear_many_by_notify() TO scopekit_gateway;

-- Otherwise as in 0100.
CREATE OR REPLACE FUNCTION scopekit.tell_all(p_type text, p_visits uuid[], p_tenants uuid[], p_jobs uuid[],
                                             p_payloads jsonb[], p_whole integer DEFAULT 1000)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_epoch  bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_of_job CONSTANT boolean := p_type LIKE 'job.%';
    v_whole  CONSTANT boolean := cardinality(p_visits) <= p_whole;
    v_locked uuid[];
    v_seqs   bigint[];
    v_epochs bigint[];
    v_told   boolean;
    v_noted  boolean;
    v_lines  integer;
    v_words  text[];
BEGIN
    IF cardinality(p_visits) < 2 OR cardinality(p_visits) > (SELECT count(DISTINCT id) FROM unnest(p_visits) AS v(id)) THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload)
        SELECT visit_id, tenant_id, job_id, p_type, payload
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads) AS e(visit_id, tenant_id, job_id, payload);
        RETURN;
    END IF;
    IF v_epoch IS NULL THEN
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    WITH stream AS (
        INSERT INTO public.visit_streams AS s (visit_id, tenant_id, last_seq, job_id, job_event, epoch)
        SELECT visit_id, tenant_id, 1, CASE WHEN v_of_job THEN job_id END, CASE WHEN v_of_job THEN p_type END, v_epoch
        FROM unnest(p_visits, p_tenants, p_jobs) AS e(visit_id, tenant_id, job_id)
        ON CONFLICT (visit_id) DO UPDATE SET
            last_seq  = s.last_seq + 1,
            job_id    = CASE WHEN v_of_job THEN EXCLUDED.job_id ELSE s.job_id END,
            job_event = CASE WHEN v_of_job THEN p_type ELSE s.job_event END
        WHERE s.tenant_id = EXCLUDED.tenant_id
        RETURNING visit_id, last_seq, epoch
    )
    SELECT array_agg(visit_id), array_agg(last_seq), array_agg(epoch) INTO v_locked, v_seqs, v_epochs FROM stream;
    IF v_locked IS DISTINCT FROM p_visits THEN
        RAISE EXCEPTION 'some of these visits are not of the tenants named' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_epoch > 1 OR v_epoch <> ANY (v_epochs) THEN
        v_seqs := ARRAY(
            SELECT CASE WHEN t.epoch <> v_epoch OR v.created_at < to_timestamp(v_epoch / 1000000.0)
                        THEN scopekit.tear_stream(t.visit_id, v_epoch) ELSE t.seq END
            FROM unnest(p_visits, v_seqs, v_epochs) WITH ORDINALITY AS t(visit_id, seq, epoch, place)
            LEFT JOIN LATERAL (SELECT created_at FROM public.site_visits WHERE id = t.visit_id) AS v ON t.seq = 1
            ORDER BY place);
    END IF;
    PERFORM set_config('scopekit.numbering', 'on', true);  -- in a SET clause it would take a superuser
    v_told := pg_sequence_last_value('scopekit.notify_way') IS DISTINCT FROM 2;
    v_noted := pg_sequence_last_value('scopekit.bus_way') > 2;
    IF v_told AND v_whole THEN
        WITH new AS (
            INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq)
            SELECT visit_id, tenant_id, job_id, p_type, payload, seq
            FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs) AS e(visit_id, tenant_id, job_id, payload, seq)
            RETURNING visit_id, seq, processing_events AS event
        )
        SELECT array_agg(scopekit.event_word(visit_id, seq, scopekit.event_document(event))) INTO v_words FROM new;
    ELSE
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq)
        SELECT unnest(p_visits), unnest(p_tenants), unnest(p_jobs), p_type, unnest(p_payloads), unnest(v_seqs);
    END IF;
    IF v_told AND NOT v_whole THEN
        v_lines := CASE WHEN scopekit.all_hear_many() THEN 100 ELSE 1 END;  -- of 78 bytes: NOTIFY takes less than 8,000
        v_words := ARRAY(SELECT string_agg(scopekit.event_word(visit_id, seq, NULL), E'\n')
                         FROM unnest(p_visits, v_seqs) WITH ORDINALITY AS e(visit_id, seq, place)
                         GROUP BY place / v_lines);
    END IF;
    IF v_noted THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) SELECT * FROM unnest(p_visits, v_seqs);
    END IF;
    IF v_told THEN  -- as a part of an expression: a function in FROM keeps each answer in a file of its own
        v_told := bool_and(pg_notify('processing_events', word) IS NOT NULL) FROM unnest(v_words) AS w(word);
    END IF;
    PERFORM set_config('scopekit.numbering', '', true);
END $$;
