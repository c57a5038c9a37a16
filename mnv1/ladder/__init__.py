"""The optimisation ladder: every way to run a network on a machine, measured in turns, and the fastest that may be used."""
