-- Events of a visit, and the streams that carry them to browsers.
--
-- The table is the interface: whoever inserts into processing_events reaches every subscriber of the visit. Numbering and
-- notification happen here, in the inserting transaction, so that no writer can forget either.
--
-- A number is given once, over crashes too. A commit that does not wait for its flush (synchronous_commit off, as
-- progress has it) reaches the relays at once, and a crash may take it back: visit_streams then stands behind what clients
-- have seen, and numbers given again would be passed over. So after a crash the numbers of each visit leap, once, over any
-- that may have been seen.
--
-- How a crash shows: an unlogged sequence is back in its initial state after crash recovery, and on a promoted standby or
-- a restored base backup, where commits may be missing just so; a clean stop keeps it. From the first event after that it
-- has a new value, the time in microseconds: the epoch. Each stream has in `epoch` the value it was last written under.

-- The epoch of this database.
CREATE UNLOGGED SEQUENCE scopekit.stream_epoch;
SELECT setval('scopekit.stream_epoch', 1);

-- One row per visit, all that opening a stream reads: its last number, the job it is about, and the type of the event that
-- has ended it (null while it goes on). Its lock, held to commit, makes the order of seq the order of commits. It is
-- rewritten with every event and has no index on what changes: room on the page keeps that in place.
CREATE TABLE public.visit_streams (
    visit_id  uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    last_seq  bigint NOT NULL DEFAULT 0,
    job_id    uuid,
    ended_by  text,
    epoch     bigint NOT NULL DEFAULT 1,
    -- The last number before each leap. There is one more with each crash that a visit lives to see: a client that was
    -- away over two crashes may have seen what the first of them took back. Numbers that may have been lost go from a
    -- gap + 1 up to the gap + 2^20.
    epoch_gaps bigint[] NOT NULL DEFAULT '{}',
    FOREIGN KEY (visit_id, tenant_id) REFERENCES public.site_visits (id, tenant_id) ON DELETE CASCADE
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- What happened on a visit, in order. An event's visit is that of its stream: every INSERT of an event writes the stream's
-- row, whose tenant must be the event's and whose foreign key says that the visit is there, and holds it to the commit. A
-- foreign key of the event's own would ask the same once more: 4 us of each event.
CREATE TABLE public.processing_events (
    visit_id   uuid NOT NULL,
    seq        bigint NOT NULL,  -- given by the trigger; the SSE id
    tenant_id  uuid NOT NULL,
    job_id     uuid,
    type       text NOT NULL CHECK (type ~ '^[a-z_]+(\.[a-z_]+)*$' AND length(type) <= 64),
    payload    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether its visit's stream ends with it. An INSERT that leaves it out gets true for a job's final event, unless the
    -- job is a background one. The next event of a job, background ones apart, opens the stream again.
    ends_stream boolean NOT NULL,
    -- Whether it is of a job beside the one that the stream is about, whatever that job's kind is. An INSERT that leaves it
    -- out gets what the queue knows of the job.
    background  boolean NOT NULL,
    PRIMARY KEY (visit_id, seq)
);

-- Keys to one visit's stream, for an EventSource, which cannot send a header and repeats its address. One that opened a
-- stream lives as long as the token it stands for; until then it expires within a minute.
CREATE TABLE public.progress_tickets (
    ticket_hash bytea PRIMARY KEY CHECK (length(ticket_hash) = 32),
    tenant_id   uuid NOT NULL,
    visit_id    uuid NOT NULL,
    claims      jsonb NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX progress_tickets_expired ON public.progress_tickets (expires_at);

-- What goes out -------------------------------------------------------------------------------------------------------

-- The event as it goes out, on one line and made once: NOTIFY carries it, a replay repeats it byte for byte, and the
-- relay reads only what stands before the payload. jsonb has no raw line break, no U+0000 (its own input refuses the
-- escape \u0000, so such a payload must be cleaned by its writer) and no lone surrogate.
CREATE FUNCTION scopekit.event_document(p_event public.processing_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"visit_id":"' || p_event.visit_id || '","seq":' || p_event.seq
        || ',"job_id":' || coalesce('"' || p_event.job_id || '"', 'null')
        || ',"type":"' || p_event.type || '"'
        || CASE WHEN p_event.background THEN ',"background":true' ELSE '' END
        || CASE WHEN p_event.ends_stream THEN ',"ends_stream":true' ELSE '' END
        || ',"payload":' || p_event.payload
        || ',"created_at":' || coalesce('"' || to_char(p_event.created_at AT TIME ZONE 'UTC',
                                                       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'null')
        || '}'
$$;

-- What NOTIFY carries of an event: all of it, or only its number where the document does not fit into 8,000 bytes. With
-- casts: an IMMUTABLE function is not inlined while it calls something STABLE, as text || uuid is.
CREATE FUNCTION scopekit.event_notification(p_visit_id uuid, p_seq bigint, p_document text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN octet_length(p_document) < 7900 THEN p_document
                ELSE '{"visit_id":"' || p_visit_id::text || '","seq":' || p_seq::text || '}' END
$$;

-- Numbering -----------------------------------------------------------------------------------------------------------

-- Whether a job's life ends with such an event.
CREATE FUNCTION scopekit.is_final(p_type text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$ SELECT p_type IN ('job.completed', 'job.failed', 'job.cancelled') $$;

-- Give the row the next number of its visit, whatever number it came with, and notify the relays when it commits. The
-- visit's row in visit_streams stays locked to the end of the transaction. A writer in REPEATABLE READ or SERIALIZABLE may
-- therefore have to repeat its transaction.
CREATE FUNCTION scopekit.number_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_of_job   boolean := NEW.type LIKE 'job.%';
    v_epoch    bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_written  bigint;
    v_document text;
BEGIN
    IF NEW.background IS NULL THEN
        NEW.background := v_of_job AND scopekit.is_background(NEW.job_id);
    END IF;
    v_of_job := v_of_job AND NOT NEW.background;
    IF NEW.ends_stream IS NULL THEN
        NEW.ends_stream := v_of_job AND scopekit.is_final(NEW.type);
    END IF;
    IF v_epoch IS NULL THEN  -- two who come here at once make two epochs, and a few streams leap twice
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    INSERT INTO public.visit_streams AS stream (visit_id, tenant_id, last_seq, job_id, ended_by, epoch)
    VALUES (NEW.visit_id, NEW.tenant_id, 1,
            CASE WHEN v_of_job THEN NEW.job_id END, CASE WHEN NEW.ends_stream THEN NEW.type END, v_epoch)
    ON CONFLICT (visit_id) DO UPDATE SET
        last_seq = stream.last_seq + 1,
        job_id   = CASE WHEN v_of_job THEN NEW.job_id ELSE stream.job_id END,
        ended_by = CASE WHEN NEW.ends_stream THEN NEW.type WHEN NOT v_of_job THEN stream.ended_by END
    WHERE stream.tenant_id = EXCLUDED.tenant_id
    RETURNING stream.last_seq, stream.epoch INTO NEW.seq, v_written;
    IF NEW.seq IS NULL THEN
        RAISE EXCEPTION 'visit % is not of tenant %', NEW.visit_id, NEW.tenant_id USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF v_written <> v_epoch OR (NEW.seq = 1 AND v_epoch > 1 AND EXISTS (  -- the crash may have taken the whole stream
        SELECT 1 FROM public.site_visits v
        WHERE v.id = NEW.visit_id AND v.created_at < to_timestamp(v_epoch / 1000000.0))) THEN
        NEW.seq := scopekit.advance_epoch(NEW.visit_id, v_epoch);
    END IF;
    IF pg_sequence_last_value('scopekit.bus_transport') > 2 THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) VALUES (NEW.visit_id, NEW.seq);
    END IF;
    IF pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2 THEN
        v_document := scopekit.event_document(NEW);
        PERFORM pg_notify('processing_events', scopekit.event_notification(NEW.visit_id, NEW.seq, v_document));
    END IF;
    RETURN NEW;
END $$;

-- Move a stream to this epoch and return the next number. More than 2^20 events of one visit cannot be lost:
-- wal_writer_delay is at most 10 s, three of which may be missing, and the database takes 19,000 events a second.
-- The commit waits for its flush: were this undone by another crash, the numbers after the leap would be given twice.
CREATE FUNCTION scopekit.advance_epoch(p_visit_id uuid, p_epoch bigint) RETURNS bigint LANGUAGE sql
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
    UPDATE public.visit_streams
    SET epoch_gaps = epoch_gaps || (last_seq - 1), last_seq = last_seq + 1048576, epoch = p_epoch
    WHERE visit_id = p_visit_id
    RETURNING last_seq
$$;

-- Insert an event of this type for each of these visits, in their order, with its tenant, job and payload: numbered,
-- notified and locked as the trigger does it, but by one statement. One by one each event took 37 us of the 55 that a job
-- of a bulk enqueue took. Where a visit comes twice, the trigger does it.
--
-- Of more than p_whole events only the numbers are sent, many to a notification, a line each; relays read the events of
-- visits that somebody watches. One by one, a statement that queued 30,000 jobs held the loop of every gateway up for
-- 30,000 calls, and was itself a tenth slower. p_background says which of the events are of background jobs; null: none.
CREATE FUNCTION scopekit.bulk_append_events(p_type text, p_visits uuid[], p_tenants uuid[], p_jobs uuid[],
                                            p_payloads jsonb[], p_whole integer DEFAULT 1000,
                                  p_background boolean[] DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    c_lines  CONSTANT integer := 100;  -- of 78 bytes: NOTIFY takes less than 8,000
    v_epoch  bigint := pg_sequence_last_value('scopekit.stream_epoch');
    v_of_job CONSTANT boolean := p_type LIKE 'job.%';
    v_final  CONSTANT boolean := scopekit.is_final(p_type);
    v_beside CONSTANT boolean[] := coalesce(p_background, array_fill(false, ARRAY[cardinality(p_visits)]));
    v_whole  CONSTANT boolean := cardinality(p_visits) <= p_whole;
    v_locked uuid[];
    v_seqs   bigint[];
    v_epochs bigint[];
    v_notify boolean;
    v_bus    boolean;
    v_messages text[];
BEGIN
    IF cardinality(p_visits) < 2 OR cardinality(p_visits) > (SELECT count(DISTINCT id) FROM unnest(p_visits) AS v(id)) THEN
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, background)
        SELECT visit_id, tenant_id, job_id, p_type, payload, beside
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_beside) AS e(visit_id, tenant_id, job_id, payload, beside);
        RETURN;
    END IF;
    IF v_epoch IS NULL THEN
        v_epoch := setval('scopekit.stream_epoch', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    END IF;
    WITH stream AS (
        INSERT INTO public.visit_streams AS s (visit_id, tenant_id, last_seq, job_id, ended_by, epoch)
        SELECT visit_id, tenant_id, 1, CASE WHEN v_of_job AND NOT beside THEN job_id END,
               CASE WHEN v_final AND NOT beside THEN p_type END, v_epoch
        FROM unnest(p_visits, p_tenants, p_jobs, v_beside) AS e(visit_id, tenant_id, job_id, beside)
        ON CONFLICT (visit_id) DO UPDATE SET
            last_seq = s.last_seq + 1,
            job_id   = coalesce(EXCLUDED.job_id, s.job_id),
            ended_by = CASE WHEN v_final THEN coalesce(EXCLUDED.ended_by, s.ended_by)
                            WHEN EXCLUDED.job_id IS NULL THEN s.ended_by END
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
                        THEN scopekit.advance_epoch(t.visit_id, v_epoch) ELSE t.seq END
            FROM unnest(p_visits, v_seqs, v_epochs) WITH ORDINALITY AS t(visit_id, seq, epoch, place)
            LEFT JOIN LATERAL (SELECT created_at FROM public.site_visits WHERE id = t.visit_id) AS v ON t.seq = 1
            ORDER BY place);
    END IF;
    PERFORM set_config('scopekit.numbering', 'on', true);  -- in a SET clause it would take a superuser
    v_notify := pg_sequence_last_value('scopekit.notify_transport') IS DISTINCT FROM 2;
    v_bus := pg_sequence_last_value('scopekit.bus_transport') > 2;
    IF v_notify AND v_whole THEN
        WITH new AS (
            INSERT INTO public.processing_events
                (visit_id, tenant_id, job_id, type, payload, seq, ends_stream, background)
            SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND NOT beside, beside
            FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs, v_beside)
                AS e(visit_id, tenant_id, job_id, payload, seq, beside)
            RETURNING visit_id, seq, processing_events AS event
        )
        SELECT array_agg(scopekit.event_notification(visit_id, seq, scopekit.event_document(event))) INTO v_messages
        FROM new;
    ELSE
        INSERT INTO public.processing_events (visit_id, tenant_id, job_id, type, payload, seq, ends_stream, background)
        SELECT visit_id, tenant_id, job_id, p_type, payload, seq, v_final AND NOT beside, beside
        FROM unnest(p_visits, p_tenants, p_jobs, p_payloads, v_seqs, v_beside)
            AS e(visit_id, tenant_id, job_id, payload, seq, beside);
    END IF;
    IF v_notify AND NOT v_whole THEN
        v_messages := ARRAY(SELECT string_agg(scopekit.event_notification(visit_id, seq, NULL), E'\n')
                         FROM unnest(p_visits, v_seqs) WITH ORDINALITY AS e(visit_id, seq, place)
                         GROUP BY place / c_lines);
    END IF;
    IF v_bus THEN
        INSERT INTO scopekit.event_outbox (visit_id, seq) SELECT * FROM unnest(p_visits, v_seqs);
    END IF;
    IF v_notify THEN  -- as a part of an expression: a function in FROM keeps each answer in a file of its own
        v_notify := bool_and(pg_notify('processing_events', message) IS NOT NULL) FROM unnest(v_messages) AS w(message);
    END IF;
    PERFORM set_config('scopekit.numbering', '', true);
END $$;

-- An event keeps its visit, its number and its tenant.
CREATE FUNCTION scopekit.forbid_event_rekey() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'event % of visit % keeps its visit, its number and its tenant', OLD.seq, OLD.visit_id
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'Insert another event.';
END $$;

-- Events go with their visit. This comes after the cascades, and so after that to the stream, which waits for whoever is
-- writing an event: then it is seen here. A writer that begins after that finds the stream gone, and no visit for another.
-- A session keeps the plan of its first deletion, so that must suit one visit as well as thousands: by key, whatever the
-- statistics say.
CREATE FUNCTION scopekit.delete_visit_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM public.processing_events WHERE visit_id = ANY (ARRAY(SELECT id FROM gone));
    RETURN NULL;
END $$;

-- A TRUNCATE that names both tables has the events already, and would not let go of them.
CREATE FUNCTION scopekit.truncate_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.processing_events) THEN
        TRUNCATE public.processing_events;
    END IF;
    RETURN NULL;
END $$;

-- Triggers fire in the order of their names: fill_tenant, which finds the tenant, before number_event. It costs 3 us of
-- each insert, so it is called only where the tenant is missing.
CREATE TRIGGER fill_tenant BEFORE INSERT ON public.processing_events FOR EACH ROW WHEN (NEW.tenant_id IS NULL)
    EXECUTE FUNCTION scopekit.fill_tenant_id();
-- Only a writer that may write visit_streams, and says so, as bulk_append_events does, numbers events without the
-- trigger.
CREATE TRIGGER number_event BEFORE INSERT ON public.processing_events
    FOR EACH ROW WHEN (NEW.seq IS NULL OR current_setting('scopekit.numbering', true) IS DISTINCT FROM 'on'
                       OR NOT has_table_privilege('public.visit_streams'::regclass, 'UPDATE'))
    EXECUTE FUNCTION scopekit.number_event();
CREATE TRIGGER forbid_event_rekey BEFORE UPDATE ON public.processing_events FOR EACH ROW
    WHEN ((OLD.visit_id, OLD.seq, OLD.tenant_id) IS DISTINCT FROM (NEW.visit_id, NEW.seq, NEW.tenant_id))
    EXECUTE FUNCTION scopekit.forbid_event_rekey();
CREATE TRIGGER delete_visit_events AFTER DELETE ON public.site_visits REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.delete_visit_events();
CREATE TRIGGER truncate_events AFTER TRUNCATE ON public.site_visits
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.truncate_events();

-- Delete the steps of visits that are older than p_keep, but for the last event of each visit: it is where the stream
-- stands. What a job began and ended with stays as long as its visit. Looks at up to p_limit visits after p_after, by id;
-- returns the last of them (null: there are no more) and how many events went. No index on the events' age: it would cost
-- each INSERT, and old events are found by their visits.
CREATE FUNCTION scopekit.prune_events(p_keep interval, p_after uuid, p_limit integer,
                                      OUT last_visit uuid, OUT removed integer) LANGUAGE plpgsql
    SET enable_seqscan = off AS $$
DECLARE
    v_visits CONSTANT uuid[] := ARRAY(
        SELECT v.id FROM public.site_visits v
        WHERE v.created_at < now() - p_keep AND (p_after IS NULL OR v.id > p_after) ORDER BY v.id LIMIT p_limit);
BEGIN
    DELETE FROM public.processing_events e USING public.visit_streams s
    WHERE e.visit_id = ANY (v_visits) AND s.visit_id = e.visit_id AND e.seq < s.last_seq
      AND e.type LIKE 'step.%' AND e.created_at < now() - p_keep;
    GET DIAGNOSTICS removed = ROW_COUNT;
    last_visit := v_visits[cardinality(v_visits)];
END $$;

-- What relays read ----------------------------------------------------------------------------------------------------

-- The events after a position, in order: at most p_limit, and at most a megabyte unless the first alone is larger.
CREATE FUNCTION scopekit.events_after(p_visit_id uuid, p_after bigint, p_limit integer)
    RETURNS TABLE (seq bigint, document text) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT page.seq, page.document
    FROM (
        SELECT found.seq, found.document,
               sum(octet_length(found.document)) OVER (ORDER BY found.seq) AS bytes,
               row_number() OVER (ORDER BY found.seq) AS number
        FROM (
            SELECT e.seq, scopekit.event_document(e) AS document
            FROM public.processing_events e
            WHERE e.visit_id = p_visit_id AND e.seq > p_after
            ORDER BY e.seq
            LIMIT least(greatest(p_limit, 1), 1000)
        ) AS found
    ) AS page
    WHERE page.bytes <= 1048576 OR page.number = 1
    ORDER BY page.seq
$$;

-- Where streams stand and leapt, and whether their tenants may have them; a deleted visit has no row.
CREATE FUNCTION scopekit.stream_heads(p_visit_ids uuid[])
    RETURNS TABLE (visit_id uuid, last_seq bigint, ended_by text, enabled boolean, epoch_gaps bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.id, coalesce(s.last_seq, 0), s.ended_by,
           coalesce(t.feature_flags #> '{visits,ws_progress_enabled}' = 'true', false),
           coalesce(s.epoch_gaps, '{}')
    FROM unnest(p_visit_ids) AS wanted (id)
    JOIN public.site_visits v ON v.id = wanted.id AND v.deleted_at IS NULL
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN public.tenant_settings t ON t.tenant_id = v.tenant_id
$$;

-- What a first connection starts from: the position, then what the latest job has done up to there. One statement is
-- one snapshot, so nothing can fall between the two. Each step of this attempt is {status, done, total, ms}.
CREATE FUNCTION scopekit.stream_snapshot(p_visit_id uuid)
    RETURNS TABLE (last_seq bigint, job_id uuid, ended_by text, steps jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH stream AS (
        SELECT s.last_seq, s.job_id, s.ended_by FROM public.visit_streams s WHERE s.visit_id = p_visit_id
    ), of_job AS (
        SELECT e.seq, e.type, e.payload FROM public.processing_events e JOIN stream ON stream.job_id = e.job_id
        WHERE e.visit_id = p_visit_id
    ), of_attempt AS (
        SELECT * FROM of_job
        WHERE seq > coalesce((SELECT max(seq) FROM of_job WHERE type IN ('job.queued', 'job.started')), 0)
    ), step AS (
        SELECT payload ->> 'step' AS name,
               jsonb_build_object(
                   'status', CASE WHEN bool_or(type = 'step.completed') THEN 'completed' ELSE 'running' END,
                   'done',  (array_agg(payload -> 'done' ORDER BY seq DESC) FILTER (WHERE payload ? 'done'))[1],
                   'total', (array_agg(payload -> 'total' ORDER BY seq DESC) FILTER (WHERE payload ? 'total'))[1],
                   'ms',    (array_agg(payload -> 'ms' ORDER BY seq DESC) FILTER (WHERE payload ? 'ms'))[1]) AS state
        FROM of_attempt WHERE type LIKE 'step.%' AND payload ->> 'step' IS NOT NULL GROUP BY 1
    )
    SELECT coalesce((SELECT stream.last_seq FROM stream), 0),
           (SELECT stream.job_id FROM stream),
           (SELECT stream.ended_by FROM stream),
           coalesce((SELECT jsonb_object_agg(name, state) FROM step), '{}')
$$;

-- What streams are opened with, in one round trip: whether this tenant has streams, whether the visit is its own, where
-- the visit's stream stands and leapt and, when asked for, what its latest job has done up to there. A row for each visit
-- asked for. The tenant is the verified token's; the comparison is the one that the policies make. With a
-- user, the first row has the tenant's members as well, 500 at most, this user before all others.
CREATE FUNCTION scopekit.open_streams(p_tenant_id uuid, p_user_id uuid, p_visit_ids uuid[], p_snapshot boolean)
    RETURNS TABLE (visit_id uuid, enabled boolean, visible boolean, last_seq bigint, epoch_gaps bigint[],
                   job_id uuid, ended_by text, steps jsonb, members uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT wanted.id,
           coalesce((SELECT t.feature_flags #> '{visits,ws_progress_enabled}' = 'true'
                     FROM public.tenant_settings t WHERE t.tenant_id = p_tenant_id), false),
           v.id IS NOT NULL, coalesce(snapshot.last_seq, s.last_seq, 0),
           coalesce(s.epoch_gaps, '{}'), s.job_id, s.ended_by,
           coalesce(snapshot.steps, '{}'),
           CASE WHEN p_user_id IS NOT NULL AND wanted.number = 1 THEN ARRAY(
               SELECT m.user_id FROM public.memberships m WHERE m.tenant_id = p_tenant_id
               ORDER BY m.user_id <> p_user_id LIMIT 500) END
    FROM unnest(p_visit_ids) WITH ORDINALITY AS wanted (id, number)
    LEFT JOIN public.site_visits v ON v.id = wanted.id AND v.tenant_id = p_tenant_id AND v.deleted_at IS NULL
    LEFT JOIN public.visit_streams s ON s.visit_id = v.id
    LEFT JOIN LATERAL (
        SELECT * FROM scopekit.stream_snapshot(v.id) WHERE p_snapshot AND v.id IS NOT NULL
    ) AS snapshot ON true
    ORDER BY wanted.number
$$;

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
