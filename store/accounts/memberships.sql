-- name: role_of
-- A user's role in a tenant; null for one who is no member.
SELECT scopekit.member_role($1, $2);
