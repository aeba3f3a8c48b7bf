"""What every route shares: bodies in, problems out, limits of rate, request metrics and traces."""
