"""The parts of a channel, each alone."""
