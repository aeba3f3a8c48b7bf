"""Whoever uses the product during a soak: contractors, customers, operators, strangers."""
