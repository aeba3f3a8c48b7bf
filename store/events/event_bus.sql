-- name: enable_notify
-- Keep NOTIFY open while this session lives, and take many messages at once; by which transaction it was opened.
SELECT scopekit.register_listener();

-- name: all_ended
-- Whether all transactions up to this one have ended.
SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8;

-- name: has_leader
-- Whether there is a leader.
SELECT scopekit.bus_has_leader();

-- name: become_leader
-- Be the leader while this session lives; by which transaction the bus was enabled.
SELECT scopekit.lead_bus();

-- name: position
-- How things stand, once all transactions up to this one have ended.
SELECT pg_current_snapshot()::text WHERE pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8;

-- name: committed_since
-- What was committed since then, and how things stand now.
SELECT snapshot::text, notifications FROM scopekit.committed_since($1::text::pg_snapshot, $2);

-- name: tend
-- Clear what was taken, and close NOTIFY where nobody listens.
SELECT scopekit.maintain_bus($1::text::pg_snapshot);

-- name: retire
-- Disable the bus where there is no leader.
SELECT scopekit.disable_bus();
