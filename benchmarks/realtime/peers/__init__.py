"""The relays and loops that the gateway is compared with."""
