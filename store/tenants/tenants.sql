-- name: current_tenant
-- The tenant RLS lets the request see, with its settings.
SELECT t.id, t.name, t.is_test, s.currency, s.tax_rate, s.profile, s.feature_flags
FROM tenants t JOIN tenant_settings s ON s.tenant_id = t.id
WHERE t.id = current_tenant_id();

-- name: reminders
-- Days until a customer is reminded.
SELECT remind_unopened_days, remind_unanswered_days FROM tenant_settings WHERE tenant_id = current_tenant_id();

-- name: set_reminders
-- Days until a customer is reminded, for its admins.
UPDATE tenant_settings SET remind_unopened_days = $1, remind_unanswered_days = $2
WHERE tenant_id = current_tenant_id('admin') RETURNING tenant_id;

-- name: lock_tenant
-- One transaction of a tenant at a time, from here to its end; a lock of its own, as nobody may lock the tenant's row.
SELECT pg_advisory_xact_lock(hashtextextended('tenant ' || current_tenant_id(), 0));

-- name: upsert_tenant
-- A tenant under a known id; a second run keeps its name.
INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING;

-- name: upsert_settings
-- Its settings; a second run keeps what was changed since.
INSERT INTO tenant_settings (tenant_id, feature_flags, currency, tax_rate, profile)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id) DO NOTHING;

-- name: upsert_membership
-- Who belongs to it.
INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: name_user
-- A user's address and name; a second run keeps what was changed since.
UPDATE users SET email = $2, name = $3 WHERE id = $1 AND email IS NULL;

-- name: has_price_items
-- Whether the tenant has a price book at all.
SELECT EXISTS (SELECT 1 FROM price_items WHERE tenant_id = $1);

-- name: insert_price_items
-- A whole price book at once: codes, descriptions, categories, units, unit prices.
INSERT INTO price_items (tenant_id, code, description, category, unit, unit_price)
SELECT $1, code, description, category, unit, unit_price
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::numeric[])
     AS book(code, description, category, unit, unit_price);
