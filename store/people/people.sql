-- name: people
-- The people of the request's company.
SELECT user_id, email, name, role, since, last_seen_at FROM scopekit.own_people();

-- name: page
-- $1 of them in the order in which they came, behind $2 and $3.
SELECT user_id, email, name, role, since, last_seen_at FROM scopekit.own_people()
WHERE $2::timestamptz IS NULL OR (since, user_id) > ($2, $3::uuid) ORDER BY since, user_id LIMIT $1;

-- name: invitations
-- Its open invitations.
SELECT id, email, role, created_at, expires_at FROM scopekit.own_invitations();

-- name: invite
-- Invites into it; null for a member.
SELECT scopekit.invite_person($1, $2);

-- name: has_role
-- Whether the request's user has at least this role.
SELECT public.current_tenant_id($1) IS NOT NULL;

-- name: withdraw
-- Withdraws an invitation of it.
SELECT scopekit.withdraw_invitation($1);

-- name: change
-- Gives a person of it another role, or removes them.
SELECT scopekit.change_own_person($1, $2);

-- name: change_company
-- Changes the request's company.
SELECT scopekit.change_company($1, $2, $3);

-- name: audit
-- What was done to its people.
SELECT at, actor, action, target, detail, address_prefix FROM scopekit.own_audit($1);

-- name: read_invitation
-- The invitation behind a mailed link.
SELECT company, email, role, has_account FROM scopekit.read_invitation($1);

-- name: join_by_link
-- Makes the account that an invitation's link is for.
SELECT scopekit.join_by_link($1);

-- name: set_invitation_token
-- An invitation's address and words, with a new token; none of a test company, whose mails do not leave.
SELECT email, role, company, inviter FROM scopekit.set_invitation_token($1, $2)
WHERE NOT EXISTS (SELECT FROM invitations i JOIN tenants t ON t.id = i.tenant_id WHERE i.id = $1 AND t.is_test);

-- name: found_company
-- Makes a company for a user who signed up.
SELECT scopekit.found_company($1, $2, $3);

-- name: delete_account
-- Deletes a person's account.
SELECT scopekit.delete_account($1);

-- name: people_of
-- The people of any company.
SELECT user_id, email, name, role, since, last_seen_at FROM scopekit.people_of($1);

-- name: invitations_of
-- The open invitations of any company.
SELECT id, email, role, created_at, expires_at FROM scopekit.invitations_of($1);

-- name: offer
-- Offers membership of any company.
SELECT scopekit.offer_membership($1, $2, $3, $4, NULL);

-- name: change_person
-- Changes or removes a person of any company.
SELECT scopekit.change_person($1, $2, $3);

-- name: create_company
-- Makes a company.
SELECT scopekit.create_company($1, $2);

-- name: companies
-- Every company.
SELECT t.id, t.name, t.is_test, t.created_at,
       (SELECT count(*) FROM memberships m
        WHERE m.tenant_id = t.id AND NOT EXISTS (SELECT FROM api_keys k WHERE k.id = m.user_id)) AS people
FROM tenants t ORDER BY t.name, t.id;

-- name: rename
-- Renames a company.
UPDATE tenants SET name = $2 WHERE id = $1 RETURNING id;

-- name: make_test
-- Marks a company as one for tests.
UPDATE tenants SET is_test = true WHERE id = $1;

-- name: close_company
-- Ends a company's memberships, API keys and invitations; how many members.
SELECT scopekit.close_company($1);

-- name: make_user
-- Makes an account of an address, where there is none.
INSERT INTO users (email) VALUES ($1) ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id;

-- name: user_by_email
-- Whose address this is.
SELECT id FROM users WHERE email = $1;
