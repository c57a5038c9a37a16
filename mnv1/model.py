"""The documented import of the network; it is made in `mnv1.net.model`."""

from mnv1.net.model import MobileNetV1, initialise

__all__ = ["MobileNetV1", "initialise"]
