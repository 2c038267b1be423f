"""Messages from one peer to one other: sealed for it alone, acknowledged, repeated until they are.

A message is cut into fragments. The first one is small, as it may go to an address that nobody has shown to
be right: to such an address at most three bytes leave for each one that came from there. An acknowledgement,
which only the recipient can make, validates the address it was sent to. Then the rest follows, as fast as
acknowledgements come. Who does not answer by unicast is spoken to through the group, sealed as before.
"""
