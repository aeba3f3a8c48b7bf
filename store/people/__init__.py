"""How people come in: addresses, codes and invitations, and the people of a company."""
