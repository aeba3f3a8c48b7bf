"""The document that a customer sees: page, PDF, branding, certificate."""
