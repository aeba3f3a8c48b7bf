"""Claims: whose turn it is, how many a tenant may run, and that no lock holds a claim up."""
