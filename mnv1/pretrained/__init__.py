"""The same network as everybody else's: weights to and from timm, transformers and Keras, with what they mean.

- `load(path_or_name)` builds a `MobileNetV1` from a file of any known layout (also `MobileNetV1.from_pretrained`);
- `from_state` does so from a state dict or Keras's arrays, `to_state` writes a network's weights in another layout;
- `keras_arrays` and `set_keras_arrays` read and write a Keras model by its layer names.
"""

from mnv1.pretrained.errors import PretrainedError
from mnv1.pretrained.layouts import LAYOUTS, Layout, keras_arrays, recognise, set_keras_arrays, to_state
from mnv1.pretrained.load import from_state, load

__all__ = [
    "LAYOUTS",
    "Layout",
    "PretrainedError",
    "from_state",
    "keras_arrays",
    "load",
    "recognise",
    "set_keras_arrays",
    "to_state",
]
