"""Would depthwise-separable convolutions pay in a network of yours? Its plan, what is measured, and the answer."""
