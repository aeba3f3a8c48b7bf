"""The embedded servers and what starts and stops the product."""
