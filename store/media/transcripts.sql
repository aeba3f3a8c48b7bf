-- name: save_transcript
-- What was heard in one recording; hearing it again replaces what was heard before.
INSERT INTO transcripts (media_id, tenant_id, visit_id, text, language, duration_ms, segments, words, engine, model)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (media_id) DO UPDATE
SET text = excluded.text, language = excluded.language, duration_ms = excluded.duration_ms,
    segments = excluded.segments, words = excluded.words, engine = excluded.engine, model = excluded.model,
    created_at = now();

-- name: mark_unusable
-- A medium that turned out to be unusable when it was opened for an estimate.
UPDATE site_visit_media SET status = 'needs_attention', problem = $2 WHERE id = $1 AND status = 'stored';

-- name: add_note
-- A recording of which hearing found more lost than a first look had.
UPDATE site_visit_media SET note = $2 WHERE id = $1 AND note IS NULL;

-- name: transcripts_of_visit
-- Everything heard on a visit, in the order of the recordings.
SELECT t.media_id, t.text, t.language, t.duration_ms, t.segments, t.words, t.engine, t.model, t.created_at
FROM transcripts t JOIN site_visit_media m ON m.id = t.media_id
WHERE t.visit_id = $1 ORDER BY m.sequence NULLS LAST, m.created_at, m.id;
