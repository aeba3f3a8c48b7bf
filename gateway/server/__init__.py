"""The uvicorn server: its limits on clients' HTTP, its drain, and the takeover of connections."""
