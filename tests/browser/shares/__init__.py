"""Shares: the contractor brands, sends and shows an estimate, and the customer answers it."""
