"""Records held for others, anti-entropy and replay."""
