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

RUN_TO_RUN = 0.03
"""Standard deviation of figures between runs of one machine, in one state, beyond what their visits let expect, on a
logarithmic scale; where none is given. A run cannot see it in itself; `scripts/method/coverage.py` measures it over
several. It was 1 % in default runs on one kind of virtual machine and 3 % on another; this is the larger."""

APART_RUN_TO_RUN = 0.07
"""The same at least, while CPUs are apart: that is more than one state, which messages do not tell from each other.
MobileNetV1 took 13.8 ms in some runs and 18.6 ms in others, with messages of 280 ns in all of them."""


def component(run_to_run: float, state: object) -> float:
    """The component between runs of an interval in a state of the machine."""
    return max(run_to_run, APART_RUN_TO_RUN) if state == APART else run_to_run
