-- name: match_candidates
-- For each wanted phrase the items that resemble it, best first: its key, the item, both similarities.
-- $1 tenant, $2 keys, $3 phrases, $4 units (one spelling a row with its key), $5 keys of $4, $6 least covers, $7 most.
-- `covers`: how much of the phrase the item's words hold; `contained`: how much of the item the phrase holds. Only what
-- covers is a candidate: the other way round no index serves, and such an item would not be taken.
SELECT key, id, description, category, unit, unit_price, covers, contained
FROM price_candidates($1, $2, $3, $4, $5, $6, $7);
