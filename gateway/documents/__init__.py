"""A company's branding, as its admins set it."""
