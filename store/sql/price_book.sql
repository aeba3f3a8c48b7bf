-- name: list_items
-- The whole book in its order.
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM price_items WHERE active ORDER BY category, description, id LIMIT $1;

-- name: find_items
-- Items whose words resemble the query ($1), hold it ($2, a LIKE pattern), or whose code begins with it ($3).
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM price_items
WHERE active AND (search_text($1) <% search OR search LIKE search_text($2) OR lower(code) LIKE lower($3))
ORDER BY lower(code) LIKE lower($3) DESC, word_similarity(search_text($1), search) DESC, description, id
LIMIT $4;

-- name: add_item
-- One more item.
INSERT INTO price_items (tenant_id, code, description, category, unit, unit_price)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, code, description, category, unit, unit_price, active, created_at, updated_at;

-- name: reprice_item
-- Another price for an item: the named one ($1), else the one of the same words and unit.
UPDATE price_items SET unit_price = $4, updated_at = now()
WHERE active AND id = coalesce(
    $1, (SELECT id FROM price_items WHERE active AND search = search_text($2) AND lower(unit) = lower($3)
         ORDER BY id LIMIT 1))
RETURNING id;
