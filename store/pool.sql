-- name: act_as
-- The user a transaction acts for ($1: claims), and who asks ($2).
SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true),
       set_config('application_name', $2, true);

-- name: sign
-- Who asks, to the end of the transaction.
SELECT set_config('application_name', $1, true);
