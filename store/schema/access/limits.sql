-- Rate limits that every gateway shares: token buckets, each kept as the time at which it will be full again.
--
-- A key (an address, a mailbox, a link) is stored as a slot, a salted hash of 20 bits: no table of who tried what, and a
-- flood of made-up keys fills at most a million rows of one limit. Two keys of one slot share its bucket.

-- What keys are hashed with: one row, of this database alone.
CREATE TABLE scopekit.limit_salt (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    salt     bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) CHECK (length(salt) = 16)
);
INSERT INTO scopekit.limit_salt DEFAULT VALUES;

-- A bucket that is not full.
CREATE TABLE scopekit.limit_buckets (
    name    text NOT NULL CHECK (length(name) BETWEEN 1 AND 40),
    slot    integer NOT NULL CHECK (slot BETWEEN 0 AND 1048575),
    full_at timestamptz NOT NULL,
    PRIMARY KEY (name, slot)
) WITH (fillfactor = 70);  -- a try updates its row in place

-- Where the bucket of a key stands.
CREATE FUNCTION scopekit.limit_slot(p_name text, p_key bytea) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT ('x' || left(encode(sha256(salt || convert_to(p_name || ':', 'UTF8') || p_key), 'hex'), 5))::bit(20)::integer
    FROM scopekit.limit_salt
$$;

-- Take p_tries from the bucket of each key, or from none when one of them has too few. Returns for each, by its number
-- from 1, the seconds until it has enough; 0 when it had. The transaction commits without waiting for its flush: a crash
-- of the database may give back the tries of its last moment.
CREATE FUNCTION scopekit.spend_tries(p_names text[], p_keys bytea[], p_bursts double precision[],
                                     p_per_second double precision[], p_tries double precision)
    RETURNS TABLE (number bigint, wait double precision) LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now    timestamptz;
    v_wait   double precision;
    v_waits  double precision[] := array_fill(0::double precision, ARRAY[cardinality(p_names)]);
    v_bucket record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- In the order of their key, so that two calls never wait for each other in a ring.
    FOR v_bucket IN
        SELECT t.number, t.name, scopekit.limit_slot(t.name, t.key) AS slot, t.burst, t.per_second
        FROM unnest(p_names, p_keys, p_bursts, p_per_second) WITH ORDINALITY AS t (name, key, burst, per_second, number)
        ORDER BY 2, 3
    LOOP
        INSERT INTO scopekit.limit_buckets AS b (name, slot, full_at)
        VALUES (v_bucket.name, v_bucket.slot, clock_timestamp())
        ON CONFLICT (name, slot) DO UPDATE SET full_at = greatest(b.full_at, clock_timestamp())
        RETURNING greatest(0, extract(epoch FROM full_at - clock_timestamp())
                              + (p_tries - v_bucket.burst) / v_bucket.per_second)
        INTO v_wait;
        v_waits[v_bucket.number] := v_wait;
    END LOOP;
    v_now := clock_timestamp();
    IF NOT EXISTS (SELECT 1 FROM unnest(v_waits) AS w WHERE w > 0) THEN
        UPDATE scopekit.limit_buckets b
        SET full_at = b.full_at + make_interval(secs => p_tries / t.per_second)
        FROM unnest(p_names, p_keys, p_per_second) AS t (name, key, per_second)
        WHERE b.name = t.name AND b.slot = scopekit.limit_slot(t.name, t.key);
    END IF;
    RETURN QUERY SELECT w.number, w.wait FROM unnest(v_waits) WITH ORDINALITY AS w (wait, number);
END $$;

-- A bucket that is full again is the same as none. How many went.
CREATE FUNCTION scopekit.forget_full_buckets() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (DELETE FROM scopekit.limit_buckets WHERE full_at < now() - interval '1 minute' RETURNING 1)
    SELECT count(*) FROM gone
$$;
