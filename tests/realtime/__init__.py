"""From an INSERT to bytes on a socket."""
