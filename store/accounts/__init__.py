"""Accounts: sessions, API keys, memberships, and idempotency keys, with this process's caches of them."""
