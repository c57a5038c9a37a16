"""What this project counts for a stated figure: closed forms, from the architecture alone.

Parameters are trainable ones, as in `mnv1.net.counts`: weights, BatchNorm's gamma and beta, and the fully connected
layer's bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache, reduce
from math import prod

from mnv1.claims.figures import factor
from mnv1.claims.others import OTHERS
from mnv1.net.architecture import Layer, block_layers, network_layers
from mnv1.net.counts import count, layer_macs
from mnv1.net.published import Claim, PublishedError

NETWORK, TWIN, SHALLOW = "MobileNetV1", "standard-convolution twin", "shallow MobileNetV1"
BODY = "MobileNetV1 without its fully connected layer"
DOGS = "MobileNetV1 for 120 classes"
PLANET = "PlaNet with MobileNetV1"
STANDARD_CONV, CONV_DW = "StandardConv(256, 512, 2)", "conv_dw(256, 512, 2)"
BLOCKS = "separable blocks against standard ones"

PARTS = {
    "1x1 convolutions": "pointwise",
    "3x3 depthwise convolutions": "depthwise",
    "3x3 standard convolution": "standard",
    "fully connected layer": "linear",
}
"""Parts of the network that the paper's Table 2 tells apart, with their type of layer."""

OF_OTHERS = {
    "top-1 difference": {
        "standard-convolution twin - MobileNetV1": ("paper-t4-standard-top1", "paper-t4-separable-top1"),
        "MobileNetV1 at alpha 0.75 - shallow MobileNetV1": ("paper-t5-075-top1", "paper-t5-shallow-top1"),
        "MobileNetV1 at alpha 0.5, 160 px - AlexNet": ("paper-t9-050-160-top1", "paper-t9-alexnet-top1"),
        "MobileNetV1 at alpha 0.5, 160 px - SqueezeNet": ("paper-t9-050-160-top1", "paper-t9-squeezenet-top1"),
    },
    "MACs of the smallest / of the baseline": {
        "face attribute classifiers of Table 12": ("paper-t12-025-128-macs", "paper-t12-baseline-macs"),
    },
}
"""Claims that follow from two others of the same source, by quantity and subject: the ids of these."""

Published = Mapping[str, Claim]
Value = tuple[Fraction, ...] | str
"""Numbers in base units (one, or several that must all agree), or a shape or formula as text."""


@cache
def _subjects(alpha: float, resolution: int) -> dict[str, tuple[Layer, ...]]:
    whole = network_layers("separable", alpha, resolution)
    twin = network_layers("standard", alpha, resolution)
    found = {
        NETWORK: whole,
        TWIN: twin,
        SHALLOW: network_layers("shallow", alpha, resolution),
        BODY: whole[:-1],
        DOGS: network_layers("separable", alpha, resolution, 120),
        "block 7 as a standard convolution": block(twin, 7),
        STANDARD_CONV: block(twin, 6),
        CONV_DW: block(whole, 6),
        "blocks 7-11": tuple(layer for number in range(7, 12) for layer in block(whole, number)),
        "blocks 7-11 depthwise": block(whole, 7)[:1],
        "blocks 7-11 pointwise": block(whole, 7)[1:],
    }
    found |= {name: tuple(layer for layer in whole if layer.op == op) for name, op in PARTS.items()}
    found |= {f"block {number}": block(whole, number) for number in range(1, 14)}
    return found | {layer.name.replace("block", "block ").replace(".", " "): (layer,) for layer in whole}


def block(layers: Iterable[Layer], number: int) -> tuple[Layer, ...]:
    """The layers of one of a network's 13 blocks."""
    return tuple(layer for layer in layers if layer.name.startswith(f"block{number}."))


def layers_of(claim: Claim) -> tuple[Layer, ...]:
    """The layers of MobileNetV1, or of a variant or part of it, that a claim is about. Raises `PublishedError`."""
    found = _subjects(claim.alpha, claim.resolution).get(claim.subject)
    if found is None:
        raise PublishedError(f"claim {claim.id}: nothing is known of {claim.subject!r} that could be counted")
    return found


def blocks() -> list[tuple[Layer, tuple[Layer, ...]]]:
    """The network's 13 blocks, each as the standard convolution and the separable pair."""
    twin, whole = network_layers("standard"), network_layers("separable")
    return [(block(twin, number)[0], block(whole, number)) for number in range(1, 14)]


def counted(claim: Claim, published: Published) -> Value:
    """What the claim's figure should be, in base units. Raises `PublishedError` for what cannot be counted."""
    match claim.quantity:
        case "MACs":
            return (Fraction(macs(claim, published)),)
        case "parameters":
            return (Fraction(params(claim, published)),)
        case "share of MACs":
            return (Fraction(count(layers_of(claim)).macs, count(network_layers()).macs),)
        case "share of parameters":
            return (Fraction(count(layers_of(claim)).params, count(network_layers()).params),)
        case "times fewer MACs" | "times fewer parameters":
            return _times_fewer(claim, published)
        case "parameters saved":
            kept, standard = (sided(claim, subject) for subject in (CONV_DW, STANDARD_CONV))
            return (1 - Fraction(params(kept, published), params(standard, published)),)
        case "layers":
            return (Fraction(sum(layer.op != "pool" for layer in layers_of(claim))),)
        case "stride":
            return (Fraction(prod(layer.stride for layer in layers_of(claim))),)
        case "output side / input side":
            # One pixel of padding at each side, a kernel of three, stride 1.
            return tuple(Fraction(side + 2 - 3 + 1, side) for side in (112, 56, 28, 14, 7))
        case "type and stride" | "filter shape" | "input size" | "output size":
            return _shape(claim)
        case "cost formula":
            return claim.stated if _holds(claim) else "another cost"
        case "top-1 difference":
            return (reduce(lambda one, other: one - other, _stated_pair(claim, published)),)
        case "MACs of the smallest / of the baseline":
            smallest, baseline = (published[name] for name in OF_OTHERS[claim.quantity][claim.subject])
            return (macs(smallest, published) / stated(baseline),)
    raise PublishedError(f"claim {claim.id}: no way to check the quantity {claim.quantity!r}")


def sided(claim: Claim, subject: str) -> Claim:
    """The same claim about another subject, for one side of a comparison."""
    return Claim(**{**vars(claim), "subject": subject})


def stated(claim: Claim) -> Fraction:
    """The number that a claim states, in base units."""
    return Fraction(claim.stated) * factor(claim)


def macs(claim: Claim, published: Published) -> Fraction:
    """Multiply-accumulates of the claim's subject for one image."""
    if claim.subject in OTHERS:
        return Fraction(sum(layer.macs for layer in OTHERS[claim.subject]))
    if claim.subject == PLANET:
        # The paper gives the size of the last layer alone: as many operations as parameters.
        return count(layers_of(sided(claim, BODY))).macs + stated(published["paper-planet-final-params"])
    return Fraction(count(layers_of(claim)).macs)


def params(claim: Claim, published: Published) -> Fraction:
    """Trainable parameters of the claim's subject."""
    if claim.subject in OTHERS:
        return Fraction(sum(layer.params for layer in OTHERS[claim.subject]))
    if claim.subject == PLANET:
        return count(layers_of(sided(claim, BODY))).params + stated(published["paper-planet-final-params"])
    return Fraction(count(layers_of(claim)).params + bias(claim))


def bias(claim: Claim) -> int:
    """Elements of the bias that the article's `StandardConv` has in its convolution; blocks here have none."""
    return layers_of(claim)[0].out_channels if claim.subject == STANDARD_CONV else 0


def _times_fewer(claim: Claim, published: Published) -> tuple[Fraction, ...]:
    what = "macs" if claim.quantity == "times fewer MACs" else "params"
    if claim.subject == BLOCKS:
        return tuple(Fraction(getattr(count([one]), what), getattr(count(pair), what)) for one, pair in blocks())
    fewer, _, more = claim.subject.partition(" against ")
    number = macs if what == "macs" else params
    return (number(sided(claim, more), published) / number(sided(claim, fewer), published),)


def _stated_pair(claim: Claim, published: Published) -> tuple[Fraction, Fraction]:
    try:
        first, second = (published[name] for name in OF_OTHERS[claim.quantity][claim.subject])
    except KeyError:
        raise PublishedError(f"claim {claim.id}: nothing to work {claim.subject!r} out from") from None
    return stated(first), stated(second)


_TYPES = {"standard": "Conv", "pointwise": "Conv", "depthwise": "Conv dw", "pool": "Avg Pool", "linear": "FC"}


def _shape(claim: Claim) -> str:
    """Shapes as the sources write them: height x width x channels."""
    first, last = layers_of(claim)[0], layers_of(claim)[-1]
    match claim.quantity:
        case "type and stride":
            return f"{_TYPES[first.op]} / s{first.stride}"
        case "filter shape":
            sides = f"{first.kernel}x{first.kernel}"
            return {
                "depthwise": f"{sides}x{first.in_channels} dw",
                "pool": f"Pool {sides}",
                "linear": f"{first.in_channels}x{first.out_channels}",
            }.get(first.op, f"{sides}x{first.in_channels}x{first.out_channels}")
        case "input size":
            side, channels = first.side, first.in_channels
        case _:
            side, channels = last.out_side, last.out_channels
    return f"{side}x{side}x{channels}" if "x" in claim.stated else str(channels)


def _holds(claim: Claim) -> bool:
    """Whether a cost formula gives the exact counts of all blocks; D is the side of the output."""
    for standard, (depthwise, pointwise) in blocks():
        sizes = {
            "K": standard.kernel,
            "M": standard.in_channels,
            "N": standard.out_channels,
            "D": standard.out_side,
        }
        separable = layer_macs(depthwise) + layer_macs(pointwise)
        exact = {
            "standard convolution": Fraction(layer_macs(standard)),
            "depthwise convolution": Fraction(layer_macs(depthwise)),
            "separable convolution": Fraction(separable),
            "separable / standard convolution": Fraction(separable, layer_macs(standard)),
        }
        if evaluated(claim.stated, sizes) != exact.get(claim.subject):
            return False
    return True


def evaluated(formula: str, sizes: Mapping[str, int]) -> Fraction:
    """A sum of products of sizes, `K·K·M + M·N`, or of one over such, `1/N + 1/(K·K)`.

    Raises `PublishedError` for a name that is not among `sizes`.
    """

    def product(text: str) -> Fraction:
        names = [name.strip() for name in text.strip("()").split("·")]
        unknown = [name for name in names if name not in sizes]
        if unknown:
            raise PublishedError(f"formula {formula!r}: unknown size {unknown[0]!r}; known: {', '.join(sizes)}")
        return Fraction(prod(sizes[name] for name in names))

    terms = [term.strip() for term in formula.split("+")]
    return sum((1 / product(term[2:]) if term.startswith("1/") else product(term) for term in terms), Fraction(0))


def standard_block(layers: Iterable[Layer]) -> Layer:
    """The standard convolution of the shape of a separable block, given by its layers."""
    depthwise, pointwise, *_ = layers
    return block_layers("standard", depthwise.in_channels, pointwise.out_channels, depthwise.stride, depthwise.side)[0]
