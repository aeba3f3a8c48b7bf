"""Every way to sign in."""
