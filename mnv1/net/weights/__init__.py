"""The same network as everybody else's: weights to and from the article, timm, transformers and Keras.

- `load(path_or_name)` builds a `MobileNetV1` from a file or folder (also `MobileNetV1.from_pretrained`), and takes
  over what the weights mean;
- `from_state` does so from a state dict, a checkpoint that holds one, or Keras's arrays;
- `to_state` writes a network's weights in another layout;
- `keras_arrays` and `set_keras_arrays` read and write a Keras model by its layer names.
"""

from mnv1.net.errors import PretrainedError
from mnv1.net.weights.find import recognise
from mnv1.net.weights.layouts import LAYOUTS, Layout, keras_arrays, set_keras_arrays, to_state
from mnv1.net.weights.load import Loaded, from_state, load

__all__ = [
    "LAYOUTS",
    "Layout",
    "Loaded",
    "PretrainedError",
    "from_state",
    "keras_arrays",
    "load",
    "recognise",
    "set_keras_arrays",
    "to_state",
]
