"""Whole networks: MobileNetV1 and its standard-convolution twin, across width, resolution and batch size."""


def test_model(model_case, sweep):
    sweep(model_case)
