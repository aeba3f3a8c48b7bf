"""The Redis Streams bus: carries events to gateways where NOTIFY is not enough."""
