-- Extensions, roles and the Supabase names we lean on, each created only where it is missing, so that the same
-- file runs on plain PostgreSQL 15-18 and on Supabase.

-- Supabase keeps extensions in a schema of their own; elsewhere they live in public.
DO $$
DECLARE
    v_schema text := CASE WHEN to_regnamespace('extensions') IS NULL THEN 'public' ELSE 'extensions' END;
    v_name   text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY['pg_trgm', 'unaccent'] LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', v_name, v_schema);
    END LOOP;
    -- The runbook lists these two; our SQL needs neither, and some servers do not ship them.
    FOR v_name IN SELECT name FROM pg_available_extensions WHERE name IN ('uuid-ossp', 'pgcrypto') LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', v_name, v_schema);
    END LOOP;
END $$;

-- Roles. anon, authenticated and service_role are Supabase's; the two logins are ours. Passwords are the operator's.
DO $$
DECLARE
    v_role record;
BEGIN
    FOR v_role IN
        SELECT * FROM (VALUES
            ('anon',             'NOLOGIN NOINHERIT'),
            ('authenticated',    'NOLOGIN NOINHERIT'),
            ('service_role',     'NOLOGIN NOINHERIT BYPASSRLS'),
            ('scopekit_gateway', 'LOGIN NOINHERIT NOBYPASSRLS'),
            ('scopekit_worker',  'LOGIN NOINHERIT NOBYPASSRLS')
        ) AS wanted(name, attributes)
    LOOP
        IF to_regrole(v_role.name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I %s', v_role.name, v_role.attributes);
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'This login may not create the role "%".', v_role.name
        USING HINT = format('Run as an administrator: CREATE ROLE %I %s; and migrate again. ',
                            v_role.name, v_role.attributes)
                  || 'Where no login may create a role with BYPASSRLS, ask the provider of the database for it.';
END $$;

GRANT anon, authenticated TO scopekit_gateway;
GRANT service_role TO scopekit_worker;
-- The login's own, not a parameter at the start of a connection: a transaction pooler refuses or forgets that one.
ALTER ROLE scopekit_worker SET role = 'service_role';

-- Per role, not ALTER DATABASE: a migration or a dump may need longer than 30 s.
ALTER ROLE scopekit_gateway SET statement_timeout = '30s';
ALTER ROLE scopekit_worker SET statement_timeout = '30s';
ALTER ROLE scopekit_gateway SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE scopekit_worker SET idle_in_transaction_session_timeout = '60s';

-- auth.uid() and auth.jwt() as Supabase defines them.
CREATE SCHEMA IF NOT EXISTS auth;
DO $$
BEGIN
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
            $f$ SELECT coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb, '{}'::jsonb) $f$;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
            $f$ SELECT nullif(auth.jwt() ->> 'sub', '')::uuid $f$;
    END IF;
END $$;
DO $$
BEGIN
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
EXCEPTION WHEN insufficient_privilege THEN NULL;  -- Supabase owns auth and has granted this already.
END $$;

-- uuidv7() is core from 18 on; before that, 48 bits of milliseconds over a random v4 give the same order.
DO $$
BEGIN
    IF to_regprocedure('pg_catalog.uuidv7()') IS NULL AND to_regprocedure('public.uuidv7()') IS NULL THEN
        CREATE FUNCTION public.uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $f$
            SELECT encode(
                set_bit(set_bit(
                    overlay(uuid_send(gen_random_uuid())
                            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                            FROM 1 FOR 6),
                    52, 1), 53, 1), 'hex')::uuid
        $f$;
    END IF;
END $$;

-- Functions behind the tables, each granted by name; Supabase's REST API does not expose this schema.
CREATE SCHEMA IF NOT EXISTS scopekit;
REVOKE ALL ON SCHEMA scopekit FROM PUBLIC;
GRANT USAGE ON SCHEMA scopekit TO scopekit_gateway, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role, scopekit_gateway, scopekit_worker;

-- unaccent() is only STABLE because its dictionary could be swapped; naming the dictionary makes it fit for an index.
DO $$
DECLARE
    v_schema text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                      WHERE e.extname = 'unaccent');
BEGIN
    EXECUTE format(
        $f$ CREATE OR REPLACE FUNCTION public.search_text(p_text text) RETURNS text
            LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS
            'SELECT lower(%1$I.unaccent(''%1$I.unaccent''::regdictionary, p_text))' $f$, v_schema);
END $$;
