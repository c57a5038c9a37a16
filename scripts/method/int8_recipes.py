"""The error of int8 outputs for each way of quantizing: `python scripts/method/int8_recipes.py --out FOLDER`.

MobileNetV1 with random weights at 224 px on random images, several seeds; the int8 kernels give the errors.
About two minutes. Writes recipes.json, and from it the table of docs/compression.md, recipes.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.compression.report import recipes_table
from mnv1.measure.state import prepare

RECIPES: dict[str, dict[str, Any]] = {
    "torchao's default": {"corrected": False},
    "first and last layer in fp32": {"corrected": False, "keep_float": ("features.0", "classifier")},
    "bias corrected (what this project does)": {},
    "7 bits for activations (without VNNI)": {"corrected": False, "reduced_range": True},
    "7 bits, bias corrected": {"reduced_range": True},
}
BATCHES, BATCH_SIZE, RESOLUTION = 8, 8, 224


@console.command(failed=2)
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 2 for what the user can put right."""
    parser = argparse.ArgumentParser(description="The error of int8 outputs for each way of quantizing.")
    parser.add_argument("--out", type=Path, required=True, help="folder for recipes.json and recipes.md")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of networks and images (3)")
    args = parser.parse_args(argv)
    prepare("controlled")
    rows = [row for seed in range(args.seeds) for row in measure(seed)]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "recipes.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    text = recipes_table(rows)
    (args.out / "recipes.md").write_text(text + "\n", encoding="utf8")
    print(text)
    return 0


def measure(seed: int) -> list[dict[str, Any]]:
    """Errors of every recipe for the network and the images of a seed."""
    import torch

    from mnv1.net.model import MobileNetV1
    from mnv1.net.quantize import int8_kernels, post_training_quantized

    torch.manual_seed(seed)
    model = MobileNetV1().eval()
    calibration = [torch.randn(BATCH_SIZE, 3, RESOLUTION, RESOLUTION) for _ in range(BATCHES)]
    images = torch.randn(BATCH_SIZE, 3, RESOLUTION, RESOLUTION)
    with torch.inference_mode():
        expected = model(images)
    rows = []
    for name, settings in RECIPES.items():
        output = int8_kernels(post_training_quantized(model, calibration, **settings), images)(images)
        own, theirs = output - output.mean(0), expected - expected.mean(0)
        rows.append(
            {
                "recipe": name,
                "seed": seed,
                "error": float((output - expected).norm() / expected.norm()),
                "error_of_differences": float((own - theirs).norm() / theirs.norm()),
                "differences": float(theirs.norm() / expected.norm()),
            }
        )
        print(f"seed {seed}, {name}: {rows[-1]['error']:.2%}", flush=True)
    return rows


if __name__ == "__main__":
    console.run(main)
