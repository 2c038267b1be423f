"""A soak: real commands on a LAN that goes wrong all the time, and an oracle of what must hold all the same.

`schedule` says what happens when, `world` makes it happen, `oracle` judges what the commands printed.
"""
