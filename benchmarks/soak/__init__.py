"""Mixed traffic for minutes: nothing may grow, leak or answer wrongly."""
