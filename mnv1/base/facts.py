"""What is known of a case or a machine."""

Facts = dict[str, object]
"""Values by the names of their columns (`mnv1.store.columns`), in SI base units."""

LATENCY, SPEEDUP = "latency", "speedup"
"""Values of `measures` for forward passes."""

GAIN = "gain"
"""The same of one network in a mode against plain eager code."""

TRAINING, TRAINING_SPEEDUP = "training", "training speedup"
"""Values of `measures` for training steps (forward, backward, optimizer), with the facts of latency and speedup."""

SHARED, APART, FAR = "CPUs share a cache", "CPUs apart", "CPUs far apart"
"""Names of the machine's states (`mnv1.measure.states`)."""
