"""Keys, seals, signatures and flush trees. Pure but for the libraries it calls: secrets are handed in."""
