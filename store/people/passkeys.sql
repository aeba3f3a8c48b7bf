-- name: add
-- Keeps a passkey of a user.
SELECT scopekit.add_passkey($1, $2, $3, $4, $5);

-- name: find
-- A passkey by its credential.
SELECT user_id, public_key, sign_count FROM scopekit.find_passkey($1);

-- name: use
-- Notes that it signed.
SELECT scopekit.use_passkey($1, $2);

-- name: of_user
-- A user's passkeys.
SELECT credential_id, name, created_at, last_used_at FROM scopekit.passkeys_of($1);

-- name: remove
-- Removes one of a user.
SELECT scopekit.remove_passkey($1, $2);
