-- name: changes_after
-- Changes behind a position, oldest first, of transactions that no other one can come before any more.
SELECT txid::text::bigint AS txid, seq, kind, object_id AS id, visit_id, action, changed_at FROM changes
WHERE (txid, seq) > ($1::text::xid8, $2::bigint) AND txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY changes.txid, seq LIMIT $3;

-- name: latest_told
-- The newest transaction that may have been told.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1;

-- name: forget_changes
-- Those older than this, at most 10,000.
DELETE FROM changes WHERE ctid = ANY (
    ARRAY(SELECT ctid FROM changes WHERE changed_at < now() - $1::interval LIMIT 10000));
