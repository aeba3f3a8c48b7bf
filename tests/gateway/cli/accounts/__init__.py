"""Commands on companies, their flags, and on operators."""
