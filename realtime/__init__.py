"""The event stream: from an INSERT into processing_events to bytes on a socket."""
