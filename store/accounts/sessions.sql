-- name: start
-- Begins a session; its id, and the company it acts for.
SELECT id, tenant_id FROM scopekit.start_session($1, $2, $3, $4, $5, $6, $7, $8);

-- name: read
-- A live session.
SELECT user_id, tenant_id, secret_hash, previous_hash, rotated_at, must_rotate, expires_at FROM scopekit.read_session($1);

-- name: rotate
-- Gives it a new secret, once.
SELECT scopekit.rotate_session($1, $2, $3);

-- name: choose_company
-- Lets it act for another company of its user.
SELECT scopekit.choose_company($1, $2);

-- name: of_user
-- A user's live sessions.
SELECT id, way, device, address_prefix, company, created_at, last_used_at FROM scopekit.sessions_of($1);

-- name: end
-- Ends one of a user's sessions, or all but one.
SELECT scopekit.end_sessions($1, $2, $3);

-- name: ended
-- Which of these are over, or act for another company.
SELECT id FROM scopekit.ended_sessions($1, $2);

-- name: companies_of
-- A user's companies, and the role in each.
SELECT tenant_id, name, role, is_test FROM scopekit.companies_of($1);

-- name: user
-- A user's own name and address.
SELECT id, email, name FROM scopekit.read_user($1);

-- name: prune
-- Deletes what expired a day ago.
SELECT scopekit.prune_sessions();
