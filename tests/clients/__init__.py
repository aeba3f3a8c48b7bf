"""The stream as other people's clients see it: what browsers and the usual packages make of our answers."""
