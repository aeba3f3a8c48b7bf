"""Rate limits that hold across gateways and restarts."""
