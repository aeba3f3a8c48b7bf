-- name: tenants_with_media
-- Whose objects are looked through.
SELECT id FROM tenants ORDER BY id;

-- name: media_of_tenant
-- Where each of a tenant's media lies.
SELECT id, tenant_id, visit_id, content_type, storage_path, original_path, created_at, status FROM site_visit_media WHERE tenant_id = $1;

-- name: other_keys
-- The keys that are no medium's: of uploads that are not media yet, and of the logo.
SELECT storage_path AS key FROM media_uploads WHERE tenant_id = $1
UNION ALL SELECT storage_path FROM recording_chunks WHERE tenant_id = $1
UNION ALL SELECT storage_path FROM resumable_uploads WHERE tenant_id = $1
UNION ALL SELECT tail_path FROM resumable_uploads WHERE tenant_id = $1 AND tail_path IS NOT NULL
UNION ALL SELECT logo_path FROM tenant_settings WHERE tenant_id = $1 AND logo_path IS NOT NULL;

-- name: mark_lost
-- A medium whose bytes are gone stays, and says so; only if it still points where nothing was found.
UPDATE site_visit_media SET status = 'needs_attention', problem = $3
WHERE id = $1 AND storage_path = $2 AND status = 'stored' RETURNING id;

-- name: expired_uploads
-- Uploads of a tenant that expired $2 ago, and recordings in chunks that got none for $3.
SELECT count(*) FROM (
    SELECT 1 FROM resumable_uploads WHERE tenant_id = $1 AND expires_at < now() - $2::interval
    UNION ALL SELECT 1 FROM recording_chunks WHERE tenant_id = $1
    GROUP BY recording_id HAVING max(created_at) < now() - $3::interval
) AS expired;

-- name: forget_expired
-- Forget them; their objects are orphans from then on.
WITH resumable AS (
    DELETE FROM resumable_uploads WHERE tenant_id = $1 AND expires_at < now() - $2::interval RETURNING 1
), recorded AS (
    DELETE FROM recording_chunks WHERE tenant_id = $1 AND recording_id IN (
        SELECT recording_id FROM recording_chunks WHERE tenant_id = $1
        GROUP BY recording_id HAVING max(created_at) < now() - $3::interval)
    RETURNING recording_id
)
SELECT (SELECT count(*) FROM resumable) + (SELECT count(DISTINCT recording_id) FROM recorded);
