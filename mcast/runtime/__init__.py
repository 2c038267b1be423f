"""One running member: its group, the driver of its engine, its event queue."""
