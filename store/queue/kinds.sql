-- name: register
-- Write down the kinds that this process knows.
SELECT scopekit.register_kinds($1);
