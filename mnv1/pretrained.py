"""The documented import of weights from elsewhere; they are read in `mnv1.net.weights`."""

from mnv1.net.weights import (
    LAYOUTS,
    Layout,
    Loaded,
    PretrainedError,
    from_state,
    keras_arrays,
    load,
    recognise,
    set_keras_arrays,
    to_state,
)

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
