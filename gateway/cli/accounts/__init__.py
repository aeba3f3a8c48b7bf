"""Commands on companies, their people and flags, and on operators."""
