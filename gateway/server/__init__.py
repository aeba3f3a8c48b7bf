"""The uvicorn server: its limits on what HTTP a client may send, its drain, and the takeover of connections."""
