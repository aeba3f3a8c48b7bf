-- name: may_be_stalled
-- Whether any job may stand still, or one that was told may be over.
SELECT scopekit.may_be_stalled();

-- name: report
-- Tell the streams of these visits what has changed.
SELECT scopekit.report_stalls($1);
