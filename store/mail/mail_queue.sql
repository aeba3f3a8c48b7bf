-- name: take
-- The mail that is due first; nobody else has it for half a minute.
SELECT id, kind, about, tries, waited FROM scopekit.take_mail();

-- name: forget
-- It is sent, or never will be.
DELETE FROM mail_queue WHERE id = $1;

-- name: postpone
-- Tries it again later.
UPDATE mail_queue SET due_at = clock_timestamp() + $2::interval WHERE id = $1;
