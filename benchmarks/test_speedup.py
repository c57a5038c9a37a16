"""The headline: standard and separable against each other, in alternating blocks in one process."""


def test_speedup(pair, sweep):
    sweep(pair)
