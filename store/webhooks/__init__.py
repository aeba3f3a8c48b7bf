"""Webhooks: endpoints, their events and deliveries, and the guarded way to a receiver."""
