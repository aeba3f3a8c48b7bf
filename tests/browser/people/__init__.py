"""People at a browser, the console's words, and the worker behind the page."""
