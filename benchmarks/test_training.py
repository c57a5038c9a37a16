"""Training steps: forward pass and loss, backward pass, optimizer; and standard against separable, in alternation."""


def test_training(training_case, sweep):
    sweep(training_case)


def test_training_speedup(training_pair, sweep):
    sweep(training_pair)
