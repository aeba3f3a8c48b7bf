-- name: register
-- Write down the kinds that this process knows.
SELECT scopekit.register_kinds($1);

-- name: queue_ticks
-- Queue the periodic jobs whose time has come; how many.
SELECT scopekit.queue_ticks($1);
