-- name: list_items
-- The book in its order, behind a place ($2 to $4), of any of these units.
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM price_items
WHERE active AND ($4::uuid IS NULL OR (category, description, id) > ($2, $3, $4))
  AND ($5::text[] IS NULL OR lower(unit) = ANY ($5))
ORDER BY category, description, id LIMIT $1;

-- name: get_item
-- One item of the book.
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM price_items WHERE active AND id = $1;

-- name: hold_item
-- One item of the book, held to the end of the transaction.
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM price_items WHERE active AND id = $1 FOR UPDATE;

-- name: change_item
-- Every field of an item anew.
UPDATE price_items
SET code = $2, description = $3, category = $4, unit = $5, unit_price = $6, updated_at = now()
WHERE active AND id = $1
RETURNING id, code, description, category, unit, unit_price, active, created_at, updated_at;

-- name: remove_item
-- One item less.
DELETE FROM price_items WHERE id = $1;

-- name: bound_search
-- What each statement of a search may take, whatever the book holds.
SET LOCAL statement_timeout = '1s';

-- name: find_items
-- Items that hold the query or whose code begins with it, by any of these units.
-- Escaped for LIKE is each sign that is one of its own or that search_text() makes one, as it does a fullwidth "%".
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM (SELECT string_agg(CASE WHEN search_text(sign) ~ '[%_\\]' THEN '\' || sign ELSE sign END, '' ORDER BY place) AS query
      FROM regexp_split_to_table($1, '') WITH ORDINALITY AS signs(sign, place)) AS literal,
     find_price_items($1, '%' || literal.query || '%', literal.query || '%', $2, $3);

-- name: resembling_items
-- Other items than these ($2) that resemble the query.
SELECT id, code, description, category, unit, unit_price, active, created_at, updated_at
FROM resembling_price_items($1, $2, $3, $4);

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

-- name: whole_book
-- Every active item, for a file.
SELECT code, description, category, unit, unit_price FROM price_items WHERE active ORDER BY category, description, id;

-- name: import_items
-- Reprices the items a file names, by code or else by words and unit, and adds the others; how many of each. An item
-- that is as the file says is left alone: to write it again costs 240 us, nearly all of it in the indexes.
-- $1 tenant, $2 JSON, an array of objects.
WITH given AS (
    SELECT code, description, category, unit, unit_price, place, search_text(description) AS search
    FROM ROWS FROM (json_to_recordset($2::text::json)
                    AS (code text, description text, category text, unit text, unit_price numeric)) WITH ORDINALITY
         AS g(code, description, category, unit, unit_price, place)
), known AS (
    SELECT g.place, min(p.id::text)::uuid AS id FROM given g
    JOIN price_items p ON p.tenant_id = $1 AND p.active AND lower(p.code) = lower(g.code)
    WHERE g.code <> '' GROUP BY g.place
    UNION ALL
    SELECT g.place, min(p.id::text)::uuid FROM given g
    JOIN price_items p ON p.tenant_id = $1 AND p.active AND p.search = g.search AND lower(p.unit) = lower(g.unit)
    WHERE g.code = '' GROUP BY g.place
), updated AS (
    UPDATE price_items p
    SET description = g.description, category = g.category, unit = g.unit, unit_price = g.unit_price, updated_at = now()
    FROM known k JOIN given g ON g.place = k.place
    WHERE p.id = k.id AND (p.description, p.category, p.unit, p.unit_price)
                          IS DISTINCT FROM (g.description, g.category, g.unit, g.unit_price)
), added AS (
    INSERT INTO price_items (tenant_id, code, description, category, unit, unit_price)
    SELECT $1, code, description, category, unit, unit_price FROM given g
    WHERE NOT EXISTS (SELECT 1 FROM known k WHERE k.place = g.place) ORDER BY place RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added, (SELECT count(DISTINCT id) FROM known) AS updated;
