"""What multicast and interfaces stand on, and what drives their sockets."""
