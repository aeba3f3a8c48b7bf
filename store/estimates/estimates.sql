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
                       subtotal, tax_rate, tax, total, line_count, unpriced_count, content_hash, created_by,
                       markup_rate, markup, discount_rate, discount_fixed, discount, options, chosen_option)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25)
RETURNING id;

-- name: insert_line
-- One line of a version.
INSERT INTO estimate_lines (tenant_id, estimate_id, position, description, category, quantity, unit, unit_price,
                            amount, price_item_id, match, evidence, assumptions, confidence, needs_review,
                            review_reasons, option)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: get_estimate
-- One version by its id.
SELECT id, visit_id, version, status, job_id, engine, model, summary, coverage, usage, currency, subtotal, markup_rate,
       markup, discount_rate, discount_fixed, discount, tax_rate, tax, total, options, chosen_option, line_count,
       unpriced_count, content_hash, created_by, created_at
FROM estimates WHERE id = $1;

-- name: latest_of_visit
-- The newest version of a visit's estimate.
SELECT id, visit_id, version, status, job_id, engine, model, summary, coverage, usage, currency, subtotal, markup_rate,
       markup, discount_rate, discount_fixed, discount, tax_rate, tax, total, options, chosen_option, line_count,
       unpriced_count, content_hash, created_by, created_at
FROM estimates WHERE visit_id = $1 ORDER BY version DESC LIMIT 1;

-- name: newest_id
-- The newest version's id.
SELECT id FROM estimates WHERE visit_id = $1 ORDER BY version DESC LIMIT 1;

-- name: lines_of_estimate
-- Its lines in their order.
SELECT id, position, description, category, quantity, unit, unit_price, amount, price_item_id, match, evidence,
       assumptions, confidence, needs_review, review_reasons, option
FROM estimate_lines WHERE estimate_id = $1 ORDER BY position;

-- name: version_of_visit
-- One version by its number.
SELECT id, visit_id, version, status, job_id, engine, model, summary, coverage, usage, currency, subtotal, markup_rate,
       markup, discount_rate, discount_fixed, discount, tax_rate, tax, total, options, chosen_option, line_count,
       unpriced_count, content_hash, created_by, created_at
FROM estimates WHERE visit_id = $1 AND version = $2;

-- name: versions_of_visit
-- Versions ($2 of them, older than $3) without their lines, newest first; one without a job was made by a person.
SELECT id, version, status, job_id IS NULL AS edited, engine, total, currency, line_count, unpriced_count, created_at
FROM estimates WHERE visit_id = $1 AND ($3::integer IS NULL OR version < $3) ORDER BY version DESC LIMIT $2;
