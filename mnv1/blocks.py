"""The documented import of the blocks; they are made in `mnv1.net.blocks`."""

from mnv1.net.blocks import conv_bn, conv_depthwise, conv_dw, conv_pointwise, conv_standard

__all__ = ["conv_bn", "conv_depthwise", "conv_dw", "conv_pointwise", "conv_standard"]
