-- name: mail_share
-- Queues a mail of a share's link, or says why not.
SELECT outcome, id FROM mail_share($1, $2, $3);

-- name: mail
-- One mail with what it is about.
SELECT id, kind, share_id, address, message, state, reason, queued_at, settled_at FROM mails WHERE id = $1;

-- name: share_facts
-- What a letter says of a share and of its company.
SELECT t.name, coalesce(g.profile, '{}') AS profile, g.accent, g.logo_path,
       s.recipient, s.has_passcode, s.expires_at, v.customer_name
FROM shares s
JOIN tenants t ON t.id = s.tenant_id
JOIN site_visits v ON v.id = s.visit_id
LEFT JOIN tenant_settings g ON g.tenant_id = s.tenant_id
WHERE s.id = $1;

-- name: add_share_token
-- One more link of a share; false for a share that is over.
SELECT scopekit.add_share_token($1, $2);

-- name: settle_mail
-- What became of a mail; no reason: it was sent.
SELECT scopekit.settle_mail($1, $2);
