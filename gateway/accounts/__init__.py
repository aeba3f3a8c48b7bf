"""How people sign in, join and run a company: ways in, invitations, setup, and the company's pages."""
