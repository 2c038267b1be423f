"""What outlives a program: messages that were sent and received, in one SQLite file for each identity."""
