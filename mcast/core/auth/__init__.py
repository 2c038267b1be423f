"""Opening datagrams, keys and signatures."""
