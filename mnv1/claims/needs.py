"""What it would take to check a claim: data, weights, or layers that its source does not give."""

from __future__ import annotations

from mnv1.claims.counts import PLANET
from mnv1.net.published import Claim

_IMAGENET = "ImageNet's validation images, and trained weights"

_BY_QUANTITY = {
    "top-1": _IMAGENET,
    "top-5": _IMAGENET,
    "int8 top-1": f"{_IMAGENET} quantized to int8",
    "int8 top-5": f"{_IMAGENET} quantized to int8",
    "top-1 on Stanford Dogs": "the Stanford Dogs images, and trained weights",
    "localised within": "the Im2GPS test set, and trained weights",
    "mean AP of face attributes": "the face attribute data, which are not public",
    "mAP on COCO": "the COCO images, and trained detectors",
    "accuracy at a false accept rate of 1e-4": "FaceNet's test data, which are not public",
    "top-1 on CIFAR-10 after 10 epochs": "the CIFAR-10 images, and ten epochs of training on them",
    "resize before the centre crop": "how the paper cut its test images, which it does not say",
    "model size after training for int8, ratio": "trained weights in int8, and the sizes of both files",
    "convolution kernels removed by unstructured pruning of 20 %": "trained weights to prune",
}

_BY_SUBJECT = {
    "SSD 300": "the detector's layers, which the paper does not give",
    "Faster R-CNN": "the detector's layers, which the paper does not give",
    "Inception V3 for Stanford Dogs": "that network's layers, which the paper does not give",
    "PlaNet": "PlaNet's layers, which the paper does not give",
    "final layer of PlaNet": "the number of places that PlaNet tells apart, which the paper does not give",
    "face attribute classifier": "the classifier's layers, which are not public",
    "face embedding": "the layers that follow MobileNetV1 there, which the paper does not give",
    "FaceNet": "the layers of this FaceNet, which has several variants",
}


def needed(claim: Claim) -> str | None:
    """What is needed to check a claim, or None where counting is enough."""
    if claim.quantity in ("MACs", "parameters"):
        if claim.subject == PLANET:
            return None
        return next((need for name, need in _BY_SUBJECT.items() if claim.subject.startswith(name)), None)
    return next((need for name, need in _BY_QUANTITY.items() if _is(claim.quantity, name)), None)


def _is(quantity: str, name: str) -> bool:
    return quantity == name or (name == "localised within" and quantity.startswith(name))
