"""The lines of Python that use a rung. Needs no torch itself."""

from __future__ import annotations

from mnv1.cases.case import Mode, Precision

ENVIRONMENT = (
    "MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456 "
    "OMP_PROC_BIND=close OMP_PLACES=cores"
)
"""Variables that put a program into the state in which the ladder is measured: glibc keeps freed memory, and each
thread has a core of its own."""

FROZEN: tuple[Mode, ...] = ("compiled+freezing", "max-autotune")

_MODEL = {
    "separable": "MobileNetV1(alpha={alpha:g})",
    "standard": "MobileNetV1(alpha={alpha:g}, block=conv_standard)",
    "shallow": "MobileNetV1(alpha={alpha:g}, shallow=True)",
}


def snippet(
    kind: str, mode: Mode, precision: Precision, device: str, alpha: float, resolution: int, batch_size: int
) -> str:
    """A program that runs one of this suite's networks in this way: it leaves its outputs in `logits`.

    Raises `KeyError` for a network of another package.
    """
    on_cuda = device == "cuda"
    head = ["import torch", *(["import torch._inductor.config"] if mode in FROZEN else [])]
    if kind == "standard":
        head.append("from mnv1.net.blocks import conv_standard")
    where = '.to("cuda")' if on_cuda else ""
    body = [
        f"model = {_MODEL[kind].format(alpha=alpha)}.eval(){where}  # or MobileNetV1.from_pretrained(FILE)",
        f"images = torch.randn({batch_size}, 3, {resolution}, {resolution}){where}",
    ]
    if mode in ("onnxruntime", "openvino"):
        imports, lines = _exported(mode, precision)
        return "\n".join([*head, *imports, "from mnv1.net.model import MobileNetV1", "", *body, *lines, ""])
    if "folded" in mode or mode == "cuda-graph":
        head.append("from mnv1.net.folding import folded")
        body.append("model = folded(model)  # BatchNorm into the convolutions")
    if precision == "bf16":
        body.append("model, images = model.bfloat16(), images.bfloat16()")
    if precision == "int8":
        head.append("from mnv1.net.quantize import post_training_quantized")
        body += [
            f"calibration = [torch.randn_like(images) for _ in range({max(4, 32 // batch_size)})]  # put your own here",
            "model = post_training_quantized(model, calibration)",
        ]
    if "channels_last" in mode or mode == "cuda-graph":
        body.append("model = model.to(memory_format=torch.channels_last)")
        body.append("images = images.to(memory_format=torch.channels_last)")
    if precision == "tf32":
        body.append('torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = "tf32"')
    body += _compiled(mode)
    context = "torch.inference_mode()"
    if precision == "amp":
        dtype = "torch.float16" if on_cuda else "torch.bfloat16"
        cache = ", cache_enabled=False" if mode == "cuda-graph" else ""
        context += f', torch.autocast("{device}", {dtype}{cache})'
    body += _recorded(context) if mode == "cuda-graph" else [f"with {context}:", "    logits = model(images)"]
    return "\n".join([*head, "from mnv1.net.model import MobileNetV1", "", *body, ""])


def _compiled(mode: Mode) -> list[str]:
    if mode not in ("compiled", *FROZEN):
        return []
    freezing = "torch._inductor.config.freezing = True  # weights may be folded, reordered and packed"
    how = ', mode="max-autotune"' if mode == "max-autotune" else ""
    line = f"model = torch.compile(model{how})  # compiled at the first call"
    return [freezing, line] if mode in FROZEN else [line]


def _recorded(context: str) -> list[str]:
    return [
        f"with {context}:",
        "    side = torch.cuda.Stream()",
        "    with torch.cuda.stream(side):",
        "        for _ in range(3):  # kernels are chosen in first calls, which cannot be recorded",
        "            model(images)",
        "    torch.cuda.current_stream().wait_stream(side)",
        "    graph = torch.cuda.CUDAGraph()",
        "    with torch.cuda.graph(graph):",
        "        logits = model(images)",
        "    # For each batch: images.copy_(batch), then",
        "    graph.replay()  # writes logits",
    ]


def _exported(mode: Mode, precision: Precision) -> tuple[list[str], list[str]]:
    lines = [
        'torch.onnx.export(model, (images,), "model.onnx", input_names=["images"], external_data=False)',
    ]
    if mode == "onnxruntime":
        return ["import onnxruntime"], [
            *lines,
            "options = onnxruntime.SessionOptions()",
            "options.intra_op_num_threads = torch.get_num_threads()",
            'session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])',
            '(logits,) = session.run(None, {"images": images.numpy()})',
        ]
    hint = "bf16" if precision == "bf16" else "f32"
    return ["import openvino"], [
        *lines,
        f'settings = {{"INFERENCE_PRECISION_HINT": "{hint}", "PERFORMANCE_HINT": "LATENCY"}}',
        'compiled = openvino.Core().compile_model("model.onnx", "CPU", settings)',
        "logits = compiled.create_infer_request().infer([images.numpy()])[0]",
    ]
