-- name: ask_for_code
-- Keeps a request to sign in by e-mail and queues its mail; its id.
SELECT scopekit.ask_for_code($1, $2, $3);

-- name: try_code
-- Spends one of five tries at a code.
SELECT email, next, code_hash FROM scopekit.try_code($1, $2);

-- name: use_code
-- Uses a request up.
SELECT scopekit.use_code($1);

-- name: read_link
-- The request behind a mailed link.
SELECT id, email, next, is_same_browser FROM scopekit.read_link($1, $2);

-- name: set_code
-- Keeps the hashes of what a mail is about to carry.
SELECT scopekit.set_code($1, $2, $3);

-- name: code_email
-- Where the mail of a request goes, if that address may sign in.
SELECT email FROM sign_in_codes WHERE id = $1 AND used_at IS NULL AND scopekit.may_sign_in(email, $2);

-- name: sign_in_user
-- The user behind a proven address or identity.
SELECT scopekit.sign_in_user($1, $2, $3, $4, $5);

-- name: begin_attempt
-- Begins a ceremony.
SELECT scopekit.begin_attempt($1, $2, $3);

-- name: take_attempt
-- Uses a ceremony up; where it leads.
SELECT scopekit.take_attempt($1, $2, $3);

-- name: is_empty
-- Whether there is no company yet.
SELECT scopekit.is_empty();

-- name: offer_setup
-- Puts a new code in force for the first company.
SELECT scopekit.offer_setup($1);

-- name: set_up
-- Makes the first company and its owner's account.
SELECT scopekit.set_up($1, $2, $3, $4);
