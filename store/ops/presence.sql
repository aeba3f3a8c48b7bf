-- name: report
-- This process lives: its name, kind, load and keys.
SELECT scopekit.report_process($1, $2, $3, $4);

-- name: forget
-- This process leaves.
SELECT scopekit.unregister_process($1, $2);

-- name: live
-- Who was seen within this time.
SELECT name, kind, started_at, seen_at, load, keys FROM scopekit.live_processes($1);
