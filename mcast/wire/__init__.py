"""Bytes to typed values and back. Pure: no socket, no clock, no randomness, no cryptography.

docs/protocol.md is the specification. The decoders take any bytes and return a value or a DropReason. Those
that run inside decode_frames(), decode_record() among them, raise Malformed instead.
"""
