"""Bulk transfers, without sockets: see docs/decisions/0034-bulk-transfer.md."""
