-- Questions and answers of shares are webhook events.

CREATE TRIGGER webhook_insert AFTER INSERT ON public.share_questions REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION scopekit.note_webhook_events(
        $t$CASE c.kind WHEN 'question' THEN 'share.question_asked' ELSE 'share.question_answered' END$t$,
        'c.id AS question_id, c.share_id, (SELECT s.visit_id FROM public.shares AS s WHERE s.id = c.share_id) AS visit_id,
              c.name, c.body, c.sent_at', '');
