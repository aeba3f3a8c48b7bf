-- name: media_usage
-- What a tenant's media take and may take, what is on its way counted in, except what is on its way for medium $1 itself.
SELECT (SELECT coalesce(sum(file_size), 0) FROM site_visit_media)
       + (SELECT coalesce(sum(file_size), 0) FROM resumable_uploads
          WHERE stored_at IS NULL AND expires_at > now() AND media_id <> $1)
       + (SELECT coalesce(sum(room), 0) FROM media_uploads WHERE expires_at > now() AND id <> $1)
       + (SELECT coalesce(sum(file_size), 0) FROM recording_chunks WHERE recording_id <> $1) AS used,
       (SELECT (limits ->> 'media_bytes')::numeric FROM tenant_settings
        WHERE tenant_id = current_tenant_id()) AS quota;
