"""Why multicast does not work here: evidence is gathered, a pure function names the causes."""
