-- name: insert_visit
-- A new visit: tenant, user, title, customer, address, notes, its id elsewhere and metadata.
INSERT INTO site_visits (tenant_id, created_by, title, customer_name, address, notes, external_id, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *, visit_state(id, status) AS state;

-- name: get_visit
-- One visit, when it is the caller's.
SELECT *, visit_state(id, status) AS state FROM site_visits WHERE id = $1;

-- name: lock_visit
-- One visit, held to the end of the transaction.
SELECT *, visit_state(id, status) AS state FROM site_visits WHERE id = $1 FOR NO KEY UPDATE;

-- name: list_visits
-- Visits, newest first, with what a list shows of each. $1 how many, $2 and $3 behind which; then, each null for any: $4
-- statuses, $5 states, $6 part of the customer's name, $7 changed since, $8 words anywhere, $9 its id elsewhere.
SELECT v.*, visit_state(v.id, v.status) AS state,
       (SELECT count(*) FROM site_visit_media m WHERE m.visit_id = v.id) AS media_count
FROM site_visits v
WHERE ($2::timestamptz IS NULL OR (v.created_at, v.id) < ($2, $3::uuid))
  AND ($4::text[] IS NULL OR v.status = ANY ($4))
  AND ($5::text[] IS NULL OR visit_state(v.id, v.status) = ANY ($5))
  AND ($6::text IS NULL OR strpos(search_text(v.customer_name), search_text($6)) > 0)
  AND ($7::timestamptz IS NULL OR v.updated_at >= $7)
  AND ($8::text IS NULL
       OR strpos(search_text(concat_ws(' ', v.title, v.customer_name, v.address, v.notes)), search_text($8)) > 0)
  AND ($9::text IS NULL OR v.external_id = $9)
ORDER BY v.created_at DESC, v.id DESC LIMIT $1;

-- name: visit_of_external_id
-- The visit that another system calls so.
SELECT id FROM site_visits WHERE tenant_id = $1 AND external_id = $2;

-- name: update_visit
-- Change what is given; null leaves a field as it is.
UPDATE site_visits SET
    title         = coalesce($2, title),
    customer_name = coalesce($3, customer_name),
    address       = coalesce($4, address),
    notes         = coalesce($5, notes),
    external_id   = coalesce($6, external_id),
    metadata      = coalesce($7, metadata),
    updated_at    = now()
WHERE id = $1 RETURNING *, visit_state(id, status) AS state;
