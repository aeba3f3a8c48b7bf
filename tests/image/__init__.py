"""compose.yaml, run with the built image: namespaces are its networks, bubblewrap its walls. By `make image-check`."""
