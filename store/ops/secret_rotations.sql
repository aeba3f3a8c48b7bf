-- name: begin
-- A rotation has begun: secret, old and new fingerprint, why.
WITH told AS (SELECT scopekit.begin_action('secret.begin', $1, $4))
INSERT INTO public.secret_rotations (name, old_print, new_print, actor, reason)
SELECT $1, $2, $3, scopekit.actor(), $4 FROM told;

-- name: hold_open
-- The open one of this secret, for who finishes it.
SELECT id, name, old_print, new_print, begun_at, now() - begun_at AS age
FROM public.secret_rotations WHERE name = $1 AND finished_at IS NULL FOR UPDATE;

-- name: finish
-- It is over.
WITH told AS (SELECT scopekit.begin_action('secret.finish', $2, $3))
UPDATE public.secret_rotations SET finished_at = now() FROM told WHERE id = $1;

-- name: newest
-- The last one of each secret.
SELECT DISTINCT ON (name) name, old_print, new_print, actor, begun_at, finished_at, now() - begun_at AS age
FROM public.secret_rotations ORDER BY name, begun_at DESC;
