"""What a mode gains over plain eager code, which tells whether a cause of lost time is the cause."""


def test_gain(gain, sweep):
    sweep(gain)
