"""Share links: made by the contractor, opened and answered by the customer."""
