"""Values of a request: form and number fields, query parameters, pages of lists, text."""
