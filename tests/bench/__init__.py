"""Measurements: mcast, the raw blocking socket and other programs on the same hosts, in the same run.

`scripts/bench` runs them. `contenders/` holds what floods the hosts, a module each; every other module is one
thing that is measured, and yields rows for the table.
"""
