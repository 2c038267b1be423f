"""How fast to send: rate and receiver reports."""
