"""The rules by which the local engine reads notes and speech."""
