"""Records in order, each once: windows, NACKs, retransmission."""
