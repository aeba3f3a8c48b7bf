-- name: mail_share
-- Queues a mail of a share's link, or says why not.
SELECT outcome, id FROM mail_share($1, $2, $3);

-- name: mail
-- One mail with what it is about.
SELECT id, kind, share_id, address, message, state, reason, queued_at, settled_at, user_id FROM mails WHERE id = $1;

-- name: is_of_test_company
-- Whether a mail must not leave.
SELECT t.is_test FROM mails m JOIN tenants t ON t.id = m.tenant_id WHERE m.id = $1;

-- name: share_facts
-- What a letter says of a share and of its company.
SELECT t.name, coalesce(g.profile, '{}') AS profile, g.accent, g.logo_path,
       s.recipient, s.has_passcode, s.expires_at, s.views, v.customer_name
FROM shares s
JOIN tenants t ON t.id = s.tenant_id
JOIN site_visits v ON v.id = s.visit_id
LEFT JOIN tenant_settings g ON g.tenant_id = s.tenant_id
WHERE s.id = $1;

-- name: notice_facts
-- What a notice says, and to which address; no row for somebody who has left the company.
SELECT u.email, t.name, coalesce(g.profile, '{}') AS profile, g.accent, g.logo_path,
       v.id AS visit_id, v.title, v.customer_name, s.recipient, said.name AS decided_by, said.words AS said, m.share_id,
       s.estimate_id
FROM mails m
JOIN memberships b ON b.tenant_id = m.tenant_id AND b.user_id = m.user_id
JOIN users u ON u.id = m.user_id AND u.email IS NOT NULL
JOIN tenants t ON t.id = m.tenant_id
JOIN site_visits v ON v.id = m.visit_id
LEFT JOIN tenant_settings g ON g.tenant_id = m.tenant_id
LEFT JOIN shares s ON s.id = m.share_id
LEFT JOIN LATERAL (
    (SELECT d.name, d.message AS words FROM share_decisions d
     WHERE d.share_id = m.share_id AND d.decision = m.kind AND d.decided_at <= m.queued_at
     ORDER BY d.decided_at DESC LIMIT 1)
    UNION ALL
    (SELECT q.name, q.body FROM share_questions q
     WHERE q.share_id = m.share_id AND q.kind = m.kind AND q.sent_at >= m.queued_at ORDER BY q.sent_at LIMIT 1)
) AS said ON true
WHERE m.id = $1;

-- name: document
-- The document of a share as its customer reads it.
SELECT scopekit.document_of($1, $2);

-- name: operator_address
-- Where an operator gets mail.
SELECT u.email FROM operators o JOIN users u ON u.id = o.user_id WHERE o.user_id = $1 AND u.email IS NOT NULL;

-- name: queue_reminders
-- Queues the reminders that are due.
SELECT scopekit.queue_reminders();

-- name: prune_mails
-- Gives up what nobody has sent for a week.
SELECT scopekit.prune_mails();

-- name: queue_alert_mails
-- A mail to each operator.
SELECT scopekit.queue_alert_mails($1, $2, $3);

-- name: own_notifications
-- What the caller gets from the company they act for.
SELECT role, choices FROM scopekit.own_notifications();

-- name: choose_notifications
-- Chooses it.
SELECT scopekit.choose_notifications($1);

-- name: add_share_token
-- One more link of a share; false for a share that is over.
SELECT scopekit.add_share_token($1, $2);

-- name: settle_mail
-- What became of a mail; no reason: it was sent.
SELECT scopekit.settle_mail($1, $2);
