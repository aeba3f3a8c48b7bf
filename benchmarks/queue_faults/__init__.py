"""The queue under faults: real processes, and a ledger of what was promised."""
