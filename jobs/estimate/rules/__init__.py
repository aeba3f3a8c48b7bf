"""Reading quantities, units and items from plain words. Pure: text in, lines out, nothing invented."""
