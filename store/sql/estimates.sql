-- name: lock_visit
-- Holds the visit for the transaction, so that two writers cannot take the same next version.
SELECT id FROM site_visits WHERE id = $1 FOR NO KEY UPDATE;

-- name: latest_version
-- The newest version number of a visit's estimate, 0 when there is none.
SELECT coalesce(max(version), 0) FROM estimates WHERE visit_id = $1;

-- name: terms_of_tenant
-- What an estimate of this tenant is reckoned in.
SELECT currency, tax_rate FROM tenant_settings WHERE tenant_id = $1;

-- name: insert_estimate
-- One version; its lines follow in the same transaction, and a deferred trigger compares them at commit.
INSERT INTO estimates (tenant_id, visit_id, version, job_id, engine, model, summary, coverage, usage, currency,
                       subtotal, tax_rate, tax, total, line_count, unpriced_count, content_hash, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
RETURNING id;

-- name: insert_line
-- One line of a version.
INSERT INTO estimate_lines (tenant_id, estimate_id, position, description, category, quantity, unit, unit_price,
                            amount, price_item_id, match, evidence, assumptions, confidence, needs_review,
                            review_reasons)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: get_estimate
-- One version by its id.
SELECT id, visit_id, version, status, job_id, engine, model, summary, coverage, usage, currency, subtotal, tax_rate,
       tax, total, line_count, unpriced_count, content_hash, created_by, created_at
FROM estimates WHERE id = $1;

-- name: latest_of_visit
-- The newest version of a visit's estimate.
SELECT id, visit_id, version, status, job_id, engine, model, summary, coverage, usage, currency, subtotal, tax_rate,
       tax, total, line_count, unpriced_count, content_hash, created_by, created_at
FROM estimates WHERE visit_id = $1 ORDER BY version DESC LIMIT 1;

-- name: lines_of_estimate
-- Its lines in their order.
SELECT id, position, description, category, quantity, unit, unit_price, amount, price_item_id, match, evidence,
       assumptions, confidence, needs_review, review_reasons
FROM estimate_lines WHERE estimate_id = $1 ORDER BY position;
