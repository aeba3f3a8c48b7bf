"""From what was seen, said and typed on a site visit to a priced estimate with evidence on every line."""
