"""Webhook endpoints over HTTP and on their page."""
