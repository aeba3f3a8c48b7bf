-- Idempotency keys: what was answered under a key, so that a repeated request is answered and not carried out again.

-- The body is sealed by the key itself, of which only the hash is here: it may hold a link that is shown once.
CREATE TABLE public.idempotency_keys (
    tenant_id   uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    user_id     uuid NOT NULL,
    key_hash    bytea NOT NULL CHECK (length(key_hash) = 32),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    status      integer NOT NULL CHECK (status BETWEEN 200 AND 299),
    headers     jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
    body        bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, key_hash)
);
CREATE INDEX idempotency_keys_by_age ON public.idempotency_keys (created_at);
