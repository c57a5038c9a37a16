"""Why a stated figure differs: another way of counting that gives it at its rounding, found by trying.

A reason says that the arithmetic fits, exactly; whether the source counted that way, only the source knows. Where
several fit, all are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

from mnv1.claims.counts import (
    BODY,
    CONV_DW,
    DOGS,
    NETWORK,
    OF_OTHERS,
    PARTS,
    PLANET,
    STANDARD_CONV,
    Published,
    Value,
    bias,
    layers_of,
    macs,
    params,
    sided,
    standard_block,
    stated,
)
from mnv1.claims.figures import Figure, cut_off, factor, figure, rounded, written
from mnv1.claims.others import OTHERS
from mnv1.net.architecture import Layer, network_layers
from mnv1.net.counts import count, layer_macs, layer_params, layer_weights
from mnv1.net.published import Claim

Reading = tuple[str, Fraction]
"""Another way of counting, in words, and what it gives in base units."""

NONE = "no other way of counting that was tried gives it"
OWN = "it follows from the source's own two figures"


def why(claim: Claim, values: Value, published: Published) -> str:
    """The reasons for a claim's figure where it is not `values`, what was counted for it."""
    if isinstance(values, str):
        return _stride(claim, published) or NONE
    target, unit = figure(claim), factor(claim)
    ours = values[0] / unit
    found = [text for text, value in readings(claim, published) if target.agrees(value / unit)]
    found += _slips(claim, target, ours, published)
    if not found and target.includes_ends:
        found = [
            f"{text}, {written(value / unit, target.step / 100)}, its digits cut off instead of rounded"
            for text, value in readings(claim, published)
            if text == OWN and cut_off(value / unit, target.step) == target.number
        ]
    found = found or [*_neighbours(claim, ours, published), *_largest_part(claim), *_own_difference(claim, published)]
    return "; or ".join(dict.fromkeys(found)) or NONE + _tried(claim, published)


def readings(claim: Claim, published: Published) -> Iterator[Reading]:
    """Other ways to count what the claim is about."""
    match claim.quantity:
        case "MACs":
            yield from _macs(claim, published)
        case "parameters" if claim.subject not in (*OTHERS, PLANET):
            yield from _params(claim)
        case "share of parameters":
            part, whole = layers_of(claim), network_layers()
            yield "BatchNorm not counted", Fraction(_without_norm(part), _without_norm(whole))
            yield "BatchNorm and bias not counted", Fraction(_weights(part), _weights(whole))
        case "times fewer MACs" | "times fewer parameters" if " against " in claim.subject:
            yield from _times_fewer(claim, published)
        case "parameters saved":
            found = [
                _stated_by_source(sided(claim, name), "parameters", published) for name in (CONV_DW, STANDARD_CONV)
            ]
            if found[0] and found[1]:
                yield OWN, 1 - found[0] / found[1]


def _macs(claim: Claim, published: Published) -> Iterator[Reading]:
    if claim.subject in OTHERS:
        convolutions = [layer for layer in OTHERS[claim.subject] if not layer.linear]
        yield "the fully connected layers left out", Fraction(sum(layer.macs for layer in convolutions))
        yield "multiplications and additions counted separately", 2 * macs(claim, published)
        return
    if claim.subject == PLANET:
        yield "million written for billion", macs(claim, published) / 1000
        return
    layers = layers_of(claim)
    total = sum(map(layer_macs, layers))
    for left_out, op in (("fully connected layer", "linear"), ("stem", "standard")):
        # The twin's blocks are standard convolutions too; its stem comes first.
        found = [layer for layer in layers if layer.op == op][:1]
        if found and len(layers) > 1:
            yield f"the {left_out} left out", Fraction(total - layer_macs(found[0]))
    pools = [layer for layer in layers if layer.op == "pool"]
    if pools and claim.subject != BODY:
        yield "an addition counted for each pooled pixel", Fraction(total + sum(map(_pooled, pools)))
    if claim.subject == DOGS:
        yield "a classifier of 1000 classes counted", macs(sided(claim, NETWORK), published)


def _pooled(layer: Layer) -> int:
    return layer.in_channels * layer.side**2


def _weights(layers: Sequence[Layer]) -> int:
    return sum(map(layer_weights, layers))


def _without_norm(layers: Sequence[Layer]) -> int:
    """Weights and the fully connected layer's bias."""
    return _weights(layers) + sum(layer.out_channels for layer in layers if layer.op == "linear")


def _params(claim: Claim) -> Iterator[Reading]:
    layers = layers_of(claim)
    own_bias = bias(claim)
    trainable = count(layers).params + own_bias
    channels = sum(layer.out_channels for layer in layers if layer.op not in ("pool", "linear"))
    yield "BatchNorm not counted", Fraction(_without_norm(layers) + own_bias)
    if layers[-1].op == "linear":
        yield "BatchNorm and bias not counted", Fraction(_weights(layers))
    yield "three values for each channel of BatchNorm counted, not two", Fraction(trainable + channels)
    yield "BatchNorm's running statistics counted as well", Fraction(trainable + 2 * channels)
    if claim.unit == "parameters" and layers[0].op == "depthwise":
        yield from _block_params(layers)


def _block_params(layers: Sequence[Layer]) -> Iterator[Reading]:
    """Ways to count one separable block, or several alike; some take a part of another block for its own."""
    weights = _weights(layers)
    depthwise = sum(layer.out_channels for layer in layers if layer.op == "depthwise")
    pointwise = sum(layer.out_channels for layer in layers if layer.op == "pointwise")
    yield "BatchNorm not counted, a bias in the depthwise convolution", Fraction(weights + depthwise)
    yield "BatchNorm not counted, a bias in both convolutions", Fraction(weights + depthwise + pointwise)
    standard = standard_block(layers)
    shape = f"{standard.in_channels}→{standard.out_channels}"
    yield f"one standard convolution {shape}, BatchNorm not counted", Fraction(layer_weights(standard))
    whole = network_layers()
    halves = {op: list({_shape(one): one for one in whole if one.op == op}.values()) for op in PARTS.values()}
    for one in halves["pointwise"]:
        yield f"a 1×1 convolution {_shape(one)} alone, BatchNorm counted", Fraction(layer_params(one))
    own = {_shape(layer) for layer in layers}
    for first, second in product(halves["depthwise"], halves["pointwise"]):
        if {_shape(first), _shape(second)} == own:
            continue
        text = f"a depthwise convolution of {first.in_channels} channels with a bias and a 1×1 convolution "
        for counted, number in (("not counted", layer_weights), ("counted", layer_params)):
            parts = number(first) + first.out_channels + number(second)
            yield f"{text}{_shape(second)} without one, BatchNorm {counted}", Fraction(parts)


def _shape(layer: Layer) -> str:
    return f"{layer.in_channels}→{layer.out_channels}"


def _times_fewer(claim: Claim, published: Published) -> Iterator[Reading]:
    fewer, _, more = claim.subject.partition(" against ")
    what = claim.quantity.removeprefix("times fewer ")
    own = [_stated_by_source(sided(claim, name), what, published) for name in (fewer, more)]
    if own[0] and own[1]:
        yield OWN, own[1] / own[0]
    if what == "MACs":
        ours = macs(sided(claim, fewer), published)
        for text, value in _macs(sided(claim, more), published):
            yield f"of {more}: {text}", value / ours
    else:
        yield (
            f"of {fewer}: BatchNorm not counted",
            params(sided(claim, more), published) / _without_norm(layers_of(sided(claim, fewer))),
        )


def _stated_by_source(claim: Claim, quantity: str, published: Published) -> Fraction | None:
    """What the same source states for another quantity of the claim's subject."""
    same = (claim.source, quantity, claim.subject)
    sizeless = claim.subject in (*OTHERS, STANDARD_CONV, CONV_DW)
    for one in published.values():
        sized = sizeless or (one.alpha, one.resolution) == (claim.alpha, claim.resolution)
        if sized and (one.source, one.quantity, one.subject) == same:
            return stated(one)
    return None


def _slips(claim: Claim, target: Figure, ours: Fraction, published: Published) -> Iterator[str]:
    """Slips of the pen and of rounding."""
    if target.number is None:
        return
    if cut_off(ours, target.step) == target.number:
        yield f"{written(ours, target.step / 100)} with its digits cut off instead of rounded"
    if rounded(rounded(ours, target.step / 10), target.step) == target.number:
        yield f"{written(ours, target.step / 100)} rounded twice, to {written(ours, target.step / 10)} first"
    text = target.write(ours)
    swaps = [text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)]
    if target.text in swaps:
        column = [stated(one) for one in published.values() if _same_column(one, claim)]
        total = written(sum(column, Fraction(0)) / factor(claim), target.step)
        adds_up = f" (the column, with it, adds up to {total} %)" if claim.quantity.startswith("share") else ""
        yield f"two digits of {text} swapped{adds_up}"


def _same_column(one: Claim, other: Claim) -> bool:
    return (one.source, one.where, one.quantity) == (other.source, other.where, other.quantity)


def _neighbours(claim: Claim, ours: Fraction, published: Published) -> Iterator[str]:
    """Where the figures of other resolutions in the same table agree with ours and not with the stated one.

    Operations of all layers but the last grow with the square of the side.
    """
    if claim.quantity != "MACs" or claim.subject != NETWORK:
        return
    fixed = Fraction(sum(layer_macs(layer) for layer in layers_of(claim) if layer.op == "linear")) / factor(claim)
    row = [
        one
        for one in published.values()
        if _same_column(one, claim)
        and (one.subject, one.alpha) == (claim.subject, claim.alpha)
        and one.resolution != claim.resolution
    ]
    target, implied = figure(claim), []
    for one in row:
        scale = Fraction(claim.resolution, one.resolution) ** 2
        ends = [end for end in (figure(one).low, figure(one).high) if end is not None]
        low, high = ((end - fixed) * scale + fixed for end in ends)
        if not low <= ours <= high or target.low is None or high >= target.low:
            return
        implied.append(f"{one.stated} at {one.resolution} px scales to {written((low + high) / 2, target.step / 10)}")
    if len(implied) >= 2:
        yield f"it does not fit its own row: {', '.join(implied)}"


def _largest_part(claim: Claim) -> Iterator[str]:
    """Which part has the largest share, where a claim gives it to another."""
    if claim.quantity != "share of parameters":
        return
    whole = count(network_layers()).params
    shares = {name: Fraction(count(layers_of(sided(claim, name))).params, whole) for name in PARTS}
    largest = max(shares, key=lambda name: shares[name])
    if largest != claim.subject:
        yield f"most are in the {largest}: {float(100 * shares[largest]):.1f} %"


def _own_difference(claim: Claim, published: Published) -> Iterator[str]:
    """The source's own two figures, whose difference is another than the one that it states."""
    if claim.quantity == "top-1 difference":
        first, second = (published[name] for name in OF_OTHERS[claim.quantity][claim.subject])
        step = figure(first).step
        ours = written((stated(first) - stated(second)) / factor(claim), step)
        yield f"the source's own figures in {first.where} give {first.stated} - {second.stated} = {ours}"


def _tried(claim: Claim, published: Published) -> str:
    """The plainest other counts of a block, for which nothing fits."""
    plain = ("BatchNorm not counted", "one standard convolution")
    found = [
        f"{text}: {int(value):,}"
        for text, value in readings(claim, published)
        if claim.unit == "parameters" and text.startswith(plain)
    ]
    return f" ({'; '.join(found)})" if found else ""


def _stride(claim: Claim, published: Published) -> str:
    """What the network would count with the stride that a table prints, beside what the same source says it counts."""
    if claim.quantity != "type and stride":
        return ""
    printed = claim.stated.rpartition("/ s")[2]
    (layer,) = layers_of(claim)
    total = next((one for one in published.values() if _is_total(one, claim.source)), None)
    if not printed.isdecimal() or total is None:
        return ""
    target, unit = figure(total), factor(total)
    ours = macs(total, published)
    after = [one for one in network_layers() if one.name.partition(".")[0] == layer.name.partition(".")[0]]
    smaller = Fraction(-(-layer.side // int(printed)), layer.out_side) ** 2
    other = (ours - count(after).macs * (1 - smaller)) / unit
    if target.agrees(other) or not target.agrees(ours / unit):
        return ""
    return (
        f"with stride {printed} there the network would have {written(other, Fraction(1, 10))} {total.unit}, but the "
        f"source's {total.where} state {total.stated}, which is right with stride {layer.stride}"
    )


def _is_total(claim: Claim, source: str) -> bool:
    size = (claim.alpha, claim.resolution)
    return (claim.source, claim.quantity, claim.subject, *size) == (source, "MACs", NETWORK, 1.0, 224)
