"""The protocol engine, without input and output: see engine.py."""
