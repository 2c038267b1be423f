"""Bytes to typed values and back. Pure: no socket, no clock, no randomness, no cryptography.

Decoding takes any bytes and returns a value or a DropReason; it raises nothing. docs/protocol.md is the
grammar.
"""
