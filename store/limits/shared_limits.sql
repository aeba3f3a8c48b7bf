-- name: spend_tries
-- Takes $5 tries from each bucket (names $1, keys $2, bursts $3, rates $4), or from none; the seconds each still needs.
SELECT number, wait FROM scopekit.spend_tries($1, $2, $3, $4, $5);

-- name: forget_full_buckets
-- A full bucket is the same as none.
SELECT scopekit.forget_full_buckets();
