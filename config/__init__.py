"""Settings, logging and flag names: what every floor above may lean on."""
