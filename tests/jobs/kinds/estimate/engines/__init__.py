"""The engines: the local one, and OpenAI's API with all its faults."""
