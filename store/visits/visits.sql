-- name: insert_visit
-- A new visit: tenant, user, title, customer, address, notes.
INSERT INTO site_visits (tenant_id, created_by, title, customer_name, address, notes)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING *;

-- name: get_visit
-- One visit, when it is the caller's.
SELECT * FROM site_visits WHERE id = $1;

-- name: lock_visit
-- One visit, held to the end of the transaction.
SELECT * FROM site_visits WHERE id = $1 FOR NO KEY UPDATE;

-- name: recent_visits
-- The newest visits, with what a list shows of each.
SELECT v.*, count(m.id) AS media_count
FROM (SELECT * FROM site_visits ORDER BY created_at DESC, id DESC LIMIT $1) AS v
LEFT JOIN site_visit_media AS m ON m.visit_id = v.id
GROUP BY v.id, v.tenant_id, v.title, v.customer_name, v.address, v.notes, v.status, v.created_by, v.created_at,
         v.updated_at
ORDER BY v.created_at DESC, v.id DESC;

-- name: update_visit
-- Change what is given; null leaves a field as it is.
UPDATE site_visits SET
    title         = coalesce($2, title),
    customer_name = coalesce($3, customer_name),
    address       = coalesce($4, address),
    notes         = coalesce($5, notes),
    updated_at    = now()
WHERE id = $1 RETURNING *;
