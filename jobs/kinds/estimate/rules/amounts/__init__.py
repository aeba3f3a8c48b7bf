"""Amounts in a clause: numbers, units, sizes and money."""
