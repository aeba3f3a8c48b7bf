-- name: active_items
-- Every active item of a tenant ($1), for matching.
SELECT id, description, category, unit, unit_price FROM price_items WHERE tenant_id = $1 AND active ORDER BY id;
