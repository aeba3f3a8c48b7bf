"""HTTP: routes, pages and the command line; the top floor, which knows everybody below."""
