"""The console's page as the server gives it out."""
