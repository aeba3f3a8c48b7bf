"""Identity providers: our side of OpenID Connect and of Supabase Auth."""
