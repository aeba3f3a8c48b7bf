"""The routes of event streams: one visit's, several visits', a tenant's."""
