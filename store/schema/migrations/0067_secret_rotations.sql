-- Rotations of secrets: when each began and ended, by whom, and fingerprints of old and new. Never a value.
CREATE TABLE public.secret_rotations (
    id          uuid PRIMARY KEY DEFAULT uuidv7(),
    name        text NOT NULL,
    old_print   text NOT NULL,
    new_print   text NOT NULL CHECK (new_print <> old_print),
    actor       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    begun_at    timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz CHECK (finished_at >= begun_at)
);
CREATE UNIQUE INDEX secret_rotations_open ON public.secret_rotations (name) WHERE finished_at IS NULL;
ALTER TABLE public.secret_rotations ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.secret_rotations FROM PUBLIC, anon, authenticated, scopekit_gateway;
GRANT ALL ON public.secret_rotations TO service_role;
