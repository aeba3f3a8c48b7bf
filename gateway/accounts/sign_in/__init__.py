"""The sign-in page and every way to sign in: mailed code, passkey, OpenID Connect, Supabase."""
