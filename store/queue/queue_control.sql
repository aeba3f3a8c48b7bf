-- name: pause
-- Switch a name off, for good or until a time.
SELECT scopekit.operator_pause($1, $2, $3);

-- name: resume
-- Switch it on; whether it was off.
SELECT scopekit.operator_resume($1, $2);

-- name: hold
-- Switch a name off for good, over a pause that would end.
SELECT scopekit.operator_hold($1, $2);

-- name: release
-- End that; whether such a pause goes on.
SELECT scopekit.operator_release($1, $2);

-- name: switches
-- What is off, and until when.
SELECT name, state, reason, until FROM scopekit.queue_switches();

-- name: open_breaker
-- Let an engine rest; until when.
SELECT scopekit.open_breaker($1, $2, $3);

-- name: close_breaker
-- Its probe has succeeded.
SELECT scopekit.close_breaker($1);
