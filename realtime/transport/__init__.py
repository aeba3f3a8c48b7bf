"""Bytes to a client: a connection taken over from the server, or plain ASGI."""
