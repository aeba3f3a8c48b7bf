"""Streams as clients ask for them: of one visit, of several, of a tenant; their admission and drain."""
