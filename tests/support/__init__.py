"""Helpers that tests of several packages share: addresses, ports, proxies, tools, waiting."""
