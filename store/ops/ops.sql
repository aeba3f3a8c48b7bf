-- name: now
-- The database's clock, by which all else is dated.
SELECT now();

-- name: actions
-- What operators did last.
SELECT at, actor, action, target, reason, detail FROM scopekit.audit_log($1);
