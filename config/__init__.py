"""Settings, logging and flag names, used by every layer above."""
