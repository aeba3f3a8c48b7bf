-- name: match_candidates
-- For each wanted line the items that resemble it, best first: line number, item, both similarities.
-- $1 tenant, $2 keys, $3 phrases, $4 units (one spelling a row with its key), $5 keys of $4, $6 at most per line.
-- `covers`: how much of the phrase the item's words hold; `contained`: how much of the item the phrase holds. Only what
-- covers (%>, 0.6 at least) is a candidate: the other way round no index serves, and such an item would not be taken.
WITH wanted AS (
    SELECT key, search_text(phrase) AS phrase FROM unnest($2::integer[], $3::text[]) AS w(key, phrase)
), accepted AS (
    SELECT unit, key FROM unnest($4::text[], $5::integer[]) AS u(unit, key)
)
SELECT w.key, c.id, c.description, c.category, c.unit, c.unit_price, c.covers, c.contained
FROM wanted w CROSS JOIN LATERAL (
    SELECT p.id, p.description, p.category, p.unit, p.unit_price,
           word_similarity(w.phrase, p.search) AS covers,
           word_similarity(p.search, w.phrase) AS contained
    FROM price_items p
    WHERE p.tenant_id = $1 AND p.active
      AND lower(p.unit) IN (SELECT a.unit FROM accepted a WHERE a.key = w.key)
      AND p.search %> w.phrase
    ORDER BY word_similarity(w.phrase, p.search) + word_similarity(p.search, w.phrase) DESC, p.id
    LIMIT $6
) c
ORDER BY w.key, c.covers + c.contained DESC, c.id;
