"""Bulk transfers: one byte stream from one peer to many. See docs/decisions/0034-bulk-transfer.md."""
