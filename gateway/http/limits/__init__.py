"""Limits in one process: rates, costs, deadlines, one request at a time for a key."""
