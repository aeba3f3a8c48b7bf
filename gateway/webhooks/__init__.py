"""Webhooks for a company's administrators: endpoints and the log of their deliveries, over HTTP and as a page."""
