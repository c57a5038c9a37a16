"""Every distinct block of the network, standard and separable, and the separable block's two halves."""


def test_layer(layer_case, sweep):
    sweep(layer_case)
