"""What an operator sees: reports, traces, numbers, alerts, and what leaves for other systems."""
