"""What Farsight does: search, retrieve, serve. Knows ports, not transports."""
