-- Users: people and API keys that sign in, across companies, and how each proves who they are.
--
-- These tables are no tenant's. The gateway's login reaches them through the functions of `sessions.sql` alone.
-- Secrets are kept as hashes: sha256 for those of 256 bits, scrypt for codes that a person types.

-- Someone who may be a member of companies. `email` is in the form that `store.people.emails` gives it; null for a user
-- that is known by a token or by an API key alone.
CREATE TABLE public.users (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    email      text UNIQUE CHECK (email = lower(email) AND email ~ '^[!-~]+@[!-~]+$' AND length(email) <= 254),
    name       text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- How an identity provider names a user: its issuer and its own id of the user.
CREATE TABLE public.identities (
    issuer     text NOT NULL CHECK (issuer <> '' AND length(issuer) <= 500),
    subject    text NOT NULL CHECK (subject <> '' AND length(subject) <= 500),
    user_id    uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_of_user ON public.identities (user_id);

-- A request to sign in by e-mail. The code and the link are made when the mail is sent; both work once, within 10 minutes,
-- in the browser that asked.
CREATE TABLE public.sign_in_codes (
    id           uuid PRIMARY KEY DEFAULT uuidv7(),
    email        text NOT NULL,
    next         text NOT NULL DEFAULT '' CHECK (length(next) <= 500),
    browser_hash bytea NOT NULL CHECK (length(browser_hash) = 32),
    code_hash    text,
    link_hash    bytea UNIQUE CHECK (length(link_hash) = 32),
    tries        integer NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 5),
    asked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL DEFAULT clock_timestamp() + interval '10 minutes',
    used_at      timestamptz,
    CONSTRAINT code_and_link_together CHECK ((code_hash IS NULL) = (link_hash IS NULL))
);

-- A passkey (WebAuthn credential), named and removed by its owner.
CREATE TABLE public.passkeys (
    credential_id bytea PRIMARY KEY CHECK (length(credential_id) BETWEEN 1 AND 1023),
    user_id       uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    public_key    bytea NOT NULL,
    sign_count    bigint NOT NULL DEFAULT 0 CHECK (sign_count >= 0),
    name          text NOT NULL CHECK (name <> '' AND length(name) <= 100),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz
);
CREATE INDEX passkeys_of_user ON public.passkeys (user_id);

-- A ceremony of signing in that spans requests: a redirect to an identity provider, or a passkey's challenge. State, nonce
-- and challenge are derived from the secret in the browser's cookie; a row works once.
CREATE TABLE public.sign_in_attempts (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    way         text NOT NULL CHECK (way <> ''),
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    next        text NOT NULL DEFAULT '' CHECK (length(next) <= 500),
    expires_at  timestamptz NOT NULL DEFAULT clock_timestamp() + interval '10 minutes'
);

-- The code that opens /setup while there is no company: the newest one, which stands in a gateway's log.
CREATE TABLE public.setup_code (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
    made_at   timestamptz NOT NULL DEFAULT now()
);
