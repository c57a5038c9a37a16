"""What the tables of stored runs hold: every column with its meaning and unit (SI base units)."""

from mnv1.base.facts import GAIN, TRAINING, TRAINING_SPEEDUP

__all__ = [
    "ABOUT_RUN",
    "CEILING_COLUMNS",
    "COLUMNS",
    "GAIN",
    "KERNEL_COLUMNS",
    "OPERATOR_COLUMNS",
    "PHASES",
    "TIME_COLUMNS",
    "TRAINING",
    "TRAINING_SPEEDUP",
]

ABOUT_RUN = {"run", "environment"}
"""Columns that every table has: which run a row is of."""

PHASES = ("forward", "backward", "optimizer")
"""What a training step consists of, in turn; each has columns `*_time`, `*_low` and `*_high`."""

COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "time": "when the run was stored (UTC)",
    "machine": "name of the machine",
    "environment": "hardware, software and settings in one line; equal lines may be compared",
    "threads": "threads that torch computed with",
    "commit": "git revision, with + where the working tree had changes",
    "id": "the case's stable id",
    "measures": "latency or speedup of a forward pass, gain of a mode over plain eager code, or training or training "
    "speedup of a training step",
    "subject": "layer or model",
    "kind": "standard, separable, depthwise, pointwise or shallow; or another package's network: timm (its "
    "MobileNetV1), mobilenet_v2, resnet18 or vgg16",
    "shape": "the workload's size without its kind",
    "in_channels": "layers: input channels of the block",
    "out_channels": "layers: output channels of the block",
    "stride": "layers: stride of the block",
    "side": "layers: input side of the block, pixels",
    "alpha": "models: width multiplier; empty for networks of one width",
    "resolution": "models: input side, pixels",
    "batch_size": "images a call",
    "device": "cpu or cuda",
    "precision": "fp32 (IEEE), tf32, amp (autocast), bf16 or fp16 (weights and activations) or int8 (quantized)",
    "mode": "how the network was run (mnv1/cases/modes.py): eager, folded, compiled, openvino, …",
    "amp_dtype": "what autocast computed in",
    "macs": "multiply-accumulates a call; of a training step those of the backward pass too",
    "params": "trainable parameters",
    "min_bytes": "compulsory memory traffic of a call, bytes; empty for networks of other packages, and training steps",
    "latency_p50": "seconds a call: geometric mean of the middle half of the rounds",
    "latency_low": "seconds, lower end of its 95 % interval",
    "latency_high": "seconds, upper end of its 95 % interval",
    "latency_p90": "seconds a call, 90th percentile of the rounds",
    "latency_p99": "seconds a call, 99th percentile of the rounds",
    "device_latency_p50": "CUDA: seconds a call between events on the stream, gaps included, median",
    "device_busy": "CUDA: seconds a call in which kernels run, gaps left out",
    "device_kernels": "CUDA: kernels a call",
    "launch_bound": "CUDA: whether a call takes far longer than its kernels",
    "energy": "CUDA, networks: joules a call, by the device's own counter over two seconds of calls, idle power "
    "included",
    "gpu_clock": "CUDA: clock of the multiprocessors while some more calls are queued after the rounds, Hz",
    "throttled": "CUDA: what held the clocks back; empty for nothing",
    "first_call": "seconds of the first call with this input",
    "output_error": "modes other than eager: relative L2 difference of the output from that of eager fp32",
    "compile_time": "modes other than eager: seconds from the module to the end of its first call, transformation, "
    "conversion and compilation included",
    "graph_breaks": "compiled modes: places at which the graph was broken",
    "file_size": "modes other than eager: bytes of the file that is run, or of the state dict where there is none",
    "throughput": "images a second, at this latency",
    "macs_per_second": "achieved multiply-accumulates a second, at the median latency",
    "peak_memory": "bytes above weights and input, at the worst moment; of a training step above the optimizer's state "
    "too: what the backward pass needs, gradients, and what the optimizer makes of them",
    "peak_reserved": "CUDA: bytes that the caching allocator took from the device for the call",
    "process_peak": "CPU: bytes by which the process grew, libraries' scratch memory included (VmHWM)",
    "memory_floor": "bytes of the largest layer's input and output together: the least that peak memory can be; empty "
    "for training steps",
    "forward_time": "training steps: seconds a step in the forward pass and the loss, median",
    "forward_low": "seconds, lower end of its 95 % interval",
    "forward_high": "seconds, upper end of its 95 % interval",
    "backward_time": "training steps: seconds a step in the backward pass, median",
    "backward_low": "seconds, lower end of its 95 % interval",
    "backward_high": "seconds, upper end of its 95 % interval",
    "optimizer_time": "training steps: seconds a step in the optimizer, freeing the old gradients included, median",
    "optimizer_low": "seconds, lower end of its 95 % interval",
    "optimizer_high": "seconds, upper end of its 95 % interval",
    "phase_steps": "training steps: steps over which these are medians, in a pass of their own",
    "speedup": "speedups: standard time / separable time, geometric mean of the middle half of the rounds",
    "speedup_low": "speedups: lower end of the 95 % interval",
    "speedup_high": "speedups: upper end of the 95 % interval",
    "standard_latency_p50": "speedups: seconds a call of the standard side",
    "standard_macs": "speedups: multiply-accumulates a call of the standard side",
    "macs_ratio": "speedups: MACs of the standard side / MACs of the separable side",
    "traced_call": "CPU: seconds of an untraced call in the moments in which kernels were traced",
    "traced_state": "state of the machine in these moments",
    "dispatch_time": "CPU, traced cases: seconds a call of the same operators with next to nothing to compute, less "
    "their kernels",
    "dispatch_within": "CPU, traced cases: seconds a call that convolutions take beside their kernels, less what "
    "these take on next to nothing",
    "system_time": "CPU, networks: seconds a call that the kernel works for the process, all threads together: mostly "
    "fresh pages for memory that the allocator handed back",
    "page_faults": "CPU, networks: pages a call that the kernel had to map",
    "peak_rate": "ceiling of the run: multiply-accumulates a second in this precision, of a matrix product or a 3x3 "
    "convolution, whichever is faster",
    "copy_rate": "ceiling of the run: bytes a second, read and written, of a copy beyond the last-level cache",
    "cache_rate": "ceiling of the run: bytes a second, read and written, of a copy within the last-level cache",
    "cache_size": "bytes of the last-level cache",
    "run_to_run": "relative standard deviation between runs that the interval of the speedup, or else of the "
    "latency, has beside the scatter of visits",
    "latency_run_to_run": "speedups: the same of the latency's interval, where it is another one",
    "rounds": "counted rounds",
    "visits": "times that the case was sampled, spread over the sweep",
    "call_time": "seconds of all calls, warm-up and rounds that do not count included",
    "calls_per_round": "calls that one round averages",
    "other_rounds": "rounds that do not count: taken in another state, on a change of state, or while the kernel "
    "stopped the process",
    "disturbed_rounds": "runs of earlier revisions: rounds during which controls said that the machine was disturbed",
    "effective_rounds": "runs of earlier revisions, speedups: how many undisturbed rounds would tell as much",
    "state": "state of the machine that the figures are of, by what a message between its CPUs took; empty where that "
    "cannot be read",
    "odd_state": "the same, where it is not that of most cases of the run",
    "other_state": "the other state that the machine was in for longest; its figures are below",
    "other_speedup": "speedups: in the other state",
    "other_speedup_low": "speedups: lower end of its 95 % interval",
    "other_speedup_high": "speedups: upper end of its 95 % interval",
    "other_latency_p50": "seconds a call in the other state",
    "other_latency_low": "seconds, lower end of its 95 % interval",
    "other_latency_high": "seconds, upper end of its 95 % interval",
    "stopped": "why sampling stopped: precise, time budget or interrupted; of earlier revisions no longer improving, "
    "round limit or disturbed too",
}
"""Every column of the table, with its meaning and unit (SI base units)."""

CEILING_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "environment": "as in the cases' table",
    "ceiling": "gemm, convolution, copy beyond cache or copy within cache",
    "device": "cpu or cuda",
    "precision": "of a gemm or convolution: fp32 (IEEE), tf32 or amp",
    "size": "side of a gemm's matrices, channels of a convolution, or bytes that a copy moves",
    "value": "multiply-accumulates a second, or bytes read and written a second of a copy: the fastest tenth of rounds",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "rounds": "counted rounds",
}
"""Every column of the table of ceilings, with its meaning and unit."""

TIME_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "wall_time": "seconds from the first case to the last; the start before it takes some 15 s",
    "call_time": "seconds of them in calls that were timed, warm-up included",
}
"""Every column of the table of times, with its meaning and unit."""

OPERATOR_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "environment": "as in the cases' table",
    "id": "id of the case that was profiled",
    "operator": "pointwise, depthwise, standard (3x3), linear, batch_norm, activation, cast, other or between (a "
    "call's time outside of operators)",
    "seconds": "seconds a call in operators of this type: mean of the profiled calls; on CUDA of their kernels",
    "low": "seconds, lower end of its 95 % interval",
    "high": "seconds, upper end of its 95 % interval",
    "count": "operators of this type in a call",
    "calls": "profiled calls",
    "empty": "seconds a call in the same operators when they have next to nothing to compute: their dispatch",
}
"""Every column of the table of profiled operators, with its meaning and unit.

A profiled call is slower than others, so that only the shares of its time mean something.
"""

KERNEL_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "environment": "as in the cases' table",
    "id": "id of the case whose calls were traced",
    "kernel": "images or weights (copied from one memory layout to another), pointwise, depthwise, standard (other "
    "convolutions), linear, batch_norm, activation, cast or other",
    "implementation": "the library's name for it",
    "layouts": "memory layout of what it reads and of what it writes, as the library writes them",
    "seconds": "seconds a call in kernels like this: mean of the traced calls",
    "low": "seconds, lower end of its 95 % interval",
    "high": "seconds, upper end of its 95 % interval",
    "count": "kernels like this in a call",
    "calls": "traced calls",
}
"""Every column of the table of kernels, with its meaning and unit. Shares are of the case's `traced_call`."""
