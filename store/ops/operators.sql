-- name: is_operator
-- Whether a user is an operator now.
SELECT scopekit.is_operator($1);

-- name: add
-- Makes a user an operator, and writes it down; false for one that is already.
SELECT scopekit.add_operator($1, $2, $3);

-- name: remove
-- Withdraws it, and writes it down; false for one who is none.
SELECT scopekit.remove_operator($1, $2);

-- name: all_of_them
-- Every operator, the newest last.
SELECT user_id, name, granted_by, created_at FROM operators ORDER BY created_at, user_id;

-- name: upsert
-- The demo's operator; a second run changes nothing.
INSERT INTO operators (user_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING;
