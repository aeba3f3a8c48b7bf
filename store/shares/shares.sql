-- name: newest_of_visit
-- The estimate with its visit, and the id of the visit's newest one.
SELECT e.id, e.visit_id, e.version,
       (SELECT n.id FROM estimates n WHERE n.visit_id = e.visit_id ORDER BY n.version DESC LIMIT 1) AS newest_id
FROM estimates e WHERE e.id = $1;

-- name: insert_share
-- A share of one version; the link's token stays with whoever made it, only its hash is kept. What it shows is the
-- company's choice, and over that the share's own.
WITH share AS (
    INSERT INTO shares (tenant_id, visit_id, estimate_id, recipient, passcode_hash, max_views, expires_at, created_by,
                        display, in_person)
    VALUES ($1, $2, $3, $5, $6, $7, now() + make_interval(secs => $8), $9,
            coalesce((SELECT display FROM tenant_settings WHERE tenant_id = $1), '{}') || $10, $11)
    RETURNING id, tenant_id)
INSERT INTO share_tokens (token_hash, share_id, tenant_id) SELECT $4, id, tenant_id FROM share RETURNING share_id;

-- name: shares_of_estimate
-- The shares of an estimate's visit ($1), or one share ($2), newest first, with what became of each: $3 of them, behind $4, $5.
SELECT s.id, s.estimate_id, e.version, s.visit_id, s.recipient, s.has_passcode, s.max_views, s.views,
       s.max_views - s.views AS remaining, s.expires_at, s.revoked_at, s.created_at, s.display, s.reminders,
       s.in_person,
       share_state(s.revoked_at, s.expires_at, s.views, s.max_views) AS state,
       share_status(d.decision, s.revoked_at, s.expires_at, s.views, s.max_views) AS status,
       o.first_opened_at, o.last_opened_at, d.decision, d.name, d.message, d.decided_at,
       d.option, d.total, d.taken,
       m.address AS mail_to, m.state AS mail_state, m.reason AS mail_reason,
       coalesce((SELECT q.kind = 'question' FROM share_questions q WHERE q.share_id = s.id
                 ORDER BY q.sent_at DESC LIMIT 1), false) AS unanswered
FROM shares s
JOIN estimates e ON e.id = s.estimate_id
LEFT JOIN share_decisions d ON d.share_id = s.id AND d.estimate_id = s.estimate_id
LEFT JOIN LATERAL (SELECT min(opened_at) AS first_opened_at, max(opened_at) AS last_opened_at
                   FROM share_views v WHERE v.share_id = s.id) o ON true
LEFT JOIN LATERAL (SELECT address, state, reason FROM mails
                   WHERE share_id = s.id ORDER BY queued_at DESC LIMIT 1) m ON true
WHERE (s.visit_id = (SELECT visit_id FROM estimates WHERE id = $1) OR s.id = $2)
  AND ($4::timestamptz IS NULL OR (s.created_at, s.id) < ($4, $5::uuid))
ORDER BY s.created_at DESC, s.id DESC LIMIT $3;

-- name: change_display
-- Merges a choice into what a share shows.
UPDATE shares SET display = display || $2 WHERE id = $1;

-- name: preview_document
-- An estimate as its customer would read it.
SELECT scopekit.preview_document($1);

-- name: questions_of_share
-- A share's questions and answers, oldest first: $2 of them, behind $3 and $4.
SELECT id, kind, name, body, sent_at FROM share_questions
WHERE share_id = $1 AND ($3::timestamptz IS NULL OR (sent_at, id) > ($3, $4::uuid)) ORDER BY sent_at, id LIMIT $2;

-- name: newest_answer
-- The company's last answer to a share's customer.
SELECT id, kind, name, body, sent_at FROM share_questions
WHERE share_id = $1 AND kind = 'answer' ORDER BY sent_at DESC, id DESC LIMIT 1;

-- name: answer_question
-- The company's answer; false for another company's share.
SELECT answer_question($1, $2);

-- name: ask_question
-- The customer's question.
SELECT scopekit.ask_question($1, $2, $3, $4, $5, $6);

-- name: record_decision
-- What a customer decided by phone.
SELECT record_decision($1, $2, $3, $4, $5, $6);

-- name: send_version
-- The newest version, under the same link.
SELECT send_version($1, $2);

-- name: revoke_share
-- Ends a share and its sessions; a second time changes nothing.
UPDATE shares SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id;

-- name: set_reminders
-- Whether the customer is reminded.
UPDATE shares SET reminders = $2 WHERE id = $1;

-- name: revoke_share_as_operator
-- Ends a share of whatever tenant; whether there is one.
SELECT scopekit.operator_revoke_share($1, $2);

-- name: rotate_share
-- Gives a share another token: rotated, unknown or revoked.
SELECT rotate_share($1, $2, $3);

-- name: timeline_of_share
-- What happened with a share, oldest first: $2 of it, behind $3 to $5.
SELECT kind, happened_at, user_agent_class, address_prefix, media_id, detail, id
FROM (SELECT id, 'opened' AS kind, opened_at AS happened_at, user_agent_class, address_prefix, NULL::uuid AS media_id,
             '' AS detail
      FROM share_views WHERE share_id = $1
      UNION ALL
      SELECT id, kind, happened_at, user_agent_class, address_prefix, media_id, ''
      FROM share_activity WHERE share_id = $1
      UNION ALL
      SELECT estimate_id, decision, decided_at, user_agent_class, address_prefix, NULL, name
      FROM share_decisions WHERE share_id = $1
      UNION ALL
      SELECT id, kind, sent_at, user_agent_class, address_prefix, NULL, name
      FROM share_questions WHERE share_id = $1
      UNION ALL
      SELECT id, 'revoked', revoked_at, '', '', NULL, '' FROM shares WHERE id = $1 AND revoked_at IS NOT NULL
      UNION ALL
      SELECT id, CASE state WHEN 'sent' THEN 'mailed' WHEN 'failed' THEN 'mail_failed' ELSE 'mail_queued' END,
             coalesce(settled_at, queued_at), '', '', NULL, concat_ws(': ', address, nullif(reason, ''))
      FROM mails WHERE share_id = $1) AS story
WHERE $3::timestamptz IS NULL OR (happened_at, kind, id) > ($3, $4::text, $5::uuid)
ORDER BY happened_at, kind, id LIMIT $2;

-- name: acceptance_of_share
-- The certificate of a share's acceptance, with the version it is about.
SELECT estimate_id, certificate, fingerprint FROM share_decisions WHERE share_id = $1 AND certificate IS NOT NULL;

-- name: share_by_token
-- The share behind a link's hash, and whether the session is one of its live ones.
SELECT share_id, state, has_passcode, live, company, customer, has_logo FROM scopekit.share_by_token($1, $2);

-- name: tenant_of_share
-- Whose the share behind a link's hash is.
SELECT scopekit.tenant_of_share($1);

-- name: try_passcode
-- Counts a try; the hash to check against, or the seconds to wait.
SELECT passcode_hash, retry_after FROM scopekit.try_passcode($1);

-- name: open_share
-- Takes one view and begins a session.
SELECT scopekit.open_share($1, $2, $3, $4, $5, $6);

-- name: share_session
-- The document of a live session.
SELECT scopekit.share_document($1, $2);

-- name: share_photo
-- A photo of the document of a live session.
SELECT id, tenant_id, visit_id, media_type, content_type, storage_path, sha256 FROM scopekit.share_photo($1, $2, $3);

-- name: decide_share
-- The customer's decision, once.
SELECT scopekit.decide_share($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: share_logo
-- Where the contractor's logo lies, for a link that can be opened or a live session.
SELECT scopekit.share_logo($1, $2);

-- name: share_updates
-- What an open page asks now and then.
SELECT scopekit.share_updates($1, $2);

-- name: log_share_activity
-- What a live session looked at.
SELECT scopekit.log_share_activity($1, $2, $3, $4, $5, $6);
