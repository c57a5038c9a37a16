"""The optimisation ladder: every way to run a network here, measured in turns, and the fastest that may be used."""
