-- name: media_usage
-- What a tenant's media take and may take, what is on its way counted in, except what is on its way for medium $1 itself.
-- A presigned form counts for as long as an object of it may lie in the store.
SELECT scopekit.stored_bytes()
       + (SELECT coalesce(sum(file_size), 0) FROM resumable_uploads
          WHERE stored_at IS NULL AND expires_at > now() AND media_id <> $1)
       + (SELECT coalesce(sum(room), 0) FROM media_uploads WHERE id <> $1)
       + (SELECT coalesce(sum(file_size), 0) FROM recording_chunks WHERE recording_id <> $1) AS used,
       (SELECT (limits ->> 'media_bytes')::numeric FROM tenant_settings
        WHERE tenant_id = current_tenant_id()) AS quota;
