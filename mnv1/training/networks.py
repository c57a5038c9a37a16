"""The network of a training run: made by its recipe, begun with other weights, or read from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnv1.base.errors import UserError
from mnv1.base.packages import MissingPackageError
from mnv1.net.architecture import IMAGE_CHANNELS, ROWS, kind_of, widths_of
from mnv1.net.blocks import conv_dw, conv_standard
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import PAPER, Semantics
from mnv1.net.source import made_by
from mnv1.net.twin import TwinError, separable_twin
from mnv1.net.weights import Loaded, PretrainedError
from mnv1.net.weights.load import load_silently, with_classes
from mnv1.training.files import load_checkpoint
from mnv1.training.recipe import ALL, BlockName, Recipe, TrainError


def build_classifier(recipe: Recipe, classes: int) -> nn.Module:
    """The network of a recipe, MobileNetV1 or another, in training mode, with weights drawn by its seed."""
    if recipe.network is None:
        return build_network(recipe, classes)
    torch.manual_seed(recipe.seed)
    try:
        network = made_by(recipe.network, num_classes=classes)
    except UserError as error:
        raise TrainError(f"--network {error}") from None
    # In training some networks give more than logits; a copy, because running statistics change.
    number = classes_of(deepcopy(network).train(), f"--network {recipe.network}", recipe.resolution)
    if number != classes:
        raise TrainError(
            f"--network {recipe.network}: gives {number} classes, the data have {classes}: name a callable that takes "
            f"num_classes, or makes a network of {classes}"
        )
    return _with_replaced(network, recipe).train()


def _with_replaced(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The separable twin where the recipe asks for it; all that is not replaced keeps its weights."""
    if not recipe.replace:
        return network
    names = None if recipe.replace == ALL else recipe.replace
    try:
        return separable_twin(network, names, between=recipe.between, seed=recipe.seed)
    except TwinError as error:
        raise TrainError(f"--replace: {error}") from None


def _continued(recipe: Recipe, classes: int) -> nn.Module:
    """A network that begins with the weights of a checkpoint, of itself or of the original that it is a twin of."""
    path = Path(str(recipe.start))
    content = load_checkpoint(path)
    stored = Recipe.from_dict(content["recipe"])
    if stored.network != recipe.network or stored.replace not in (None, recipe.replace):
        raise TrainError(f"--start {path}: holds {stored.what}, which is not {recipe.what} nor what that comes from")
    if len(content["classes"]) != classes:
        raise TrainError(f"--start {path}: knows {len(content['classes'])} classes, and the data have {classes}")
    same = stored.replace == recipe.replace
    network = build_classifier(recipe if same else replace(recipe, replace=None), classes)
    _fill(network, content["model"], path)
    return network if same else _with_replaced(network, recipe)


def _fill(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise TrainError(f"{path}: damaged: {str(error).splitlines()[0]}") from None


def build_network(recipe: Recipe, classes: int) -> MobileNetV1:
    """The MobileNetV1 of a recipe, with weights drawn by its seed."""
    torch.manual_seed(recipe.seed)
    block = conv_standard if recipe.block == "standard" else conv_dw
    try:
        semantics = Semantics(**(recipe.semantics or {}))
        return MobileNetV1(classes, recipe.alpha, block, widths=recipe.widths, semantics=semantics)
    except (ValueError, TypeError) as error:
        is_plain = recipe.widths is None and recipe.semantics is None
        raise TrainError(f"{'--alpha' if is_plain else 'a damaged recipe'}: {error}") from None


def as_started(recipe: Recipe) -> Recipe:
    """The recipe with widths and semantics of the network that it begins with.

    Raises `TrainError` when it is another network.
    """
    if recipe.start is None or recipe.network:
        return recipe
    model, stored = _started(recipe)
    block: BlockName = "separable" if "features.1.3.weight" in model.state_dict() else "standard"
    if stored is not None:
        alpha, widths = stored.alpha, stored.widths
    else:
        kind, tried = kind_of(model.widths), (recipe.alpha, model.widths[-1] / ROWS[-1][0])
        alpha = next((one for one in tried if widths_of(kind, one) == model.widths), recipe.alpha)
        widths = None if widths_of("separable", alpha) == model.widths else model.widths
    for name, theirs in (("block", block), ("alpha", alpha)):
        if theirs != getattr(recipe, name):
            shown = theirs if isinstance(theirs, str) else f"{theirs:.6g}"
            raise TrainError(f"--start {recipe.start}: a network of {name} {shown}: add --{name} {shown}")
    semantics = None if model.semantics == PAPER else asdict(model.semantics)
    return replace(recipe, widths=widths, semantics=semantics)


def first_network(recipe: Recipe, classes: Sequence[str]) -> nn.Module:
    """The network that training begins with, in training mode. Raises `TrainError`.

    A classifier of other classes, or of another number where their names are not known, is replaced by one that is
    drawn by the seed; `loaded` tells.
    """
    if recipe.start is None:
        return build_classifier(recipe, len(classes))
    if recipe.network:
        return _continued(recipe, len(classes))
    if as_started(recipe) != recipe:
        raise TrainError(f"--start {recipe.start}: a pruned network of other widths than the recipe's")
    model, _ = _started(recipe)
    torch.manual_seed(recipe.seed)
    known = model.loaded.labels if model.loaded else None
    return with_classes(model, len(classes), is_new=known is not None and list(known) != list(classes)).train()


def _started(recipe: Recipe) -> tuple[MobileNetV1, Recipe | None]:
    """The network of `--start`, and the recipe of one that was trained here."""
    path = Path(str(recipe.start))
    try:
        content = load_checkpoint(path)
    except TrainError:
        if not path.exists():
            raise
        content = None
    stored = Recipe.from_dict(content["recipe"]) if content else None
    if stored and stored.network:
        raise TrainError(
            f"--start {path}: holds {stored.what}, which is no MobileNetV1: add --network {stored.network}"
        )
    if content and stored and stored.qat:
        model = network_of(path)
        model.loaded = Loaded("mnv1", "model", "graph.", "kept", tuple(content["classes"]), ())
        return model, stored
    try:
        return load_silently(path, key=recipe.start_key), stored
    except (PretrainedError, MissingPackageError) as error:
        line = str(error).replace("with key=", "with --start-key").replace("; key=", "; --start-key ")
        raise TrainError(f"--start {line}") from None


def network_of(checkpoint: Path) -> MobileNetV1:
    """The trained MobileNetV1 of a checkpoint, in evaluation mode. Raises `TrainError`."""
    content = load_checkpoint(checkpoint)
    recipe = _recipe_of(content, checkpoint)
    if recipe.network:
        raise TrainError(f"{checkpoint}: holds {recipe.what}, which is no MobileNetV1")
    try:
        model = build_network(recipe, len(content["classes"]))
    except TrainError as error:
        raise TrainError(f"{checkpoint}: {error}") from None
    _fill(model, _float_state(content["model"], model) if recipe.qat else content["model"], checkpoint)
    return model.eval()


def classifier_of(checkpoint: Path, network: str | None) -> nn.Module:
    """The trained network of a checkpoint, MobileNetV1 or that of a source, in evaluation mode. Raises `TrainError`.

    A source is run, so none is taken from the file unless it is the `network` that the user named, too.
    """
    content = load_checkpoint(checkpoint)
    recipe = _recipe_of(content, checkpoint)
    if recipe.network is None:
        return network_of(checkpoint)
    if recipe.network != network:
        raise TrainError(f"{checkpoint}: holds {recipe.what}: add --network {recipe.network} if you trust it")
    model = build_classifier(replace(recipe, start=None), len(content["classes"]))
    _fill(model, content["model"], checkpoint)
    return model.eval()


def _recipe_of(content: Mapping[str, Any], checkpoint: Path) -> Recipe:
    try:
        return Recipe.from_dict(content["recipe"])
    except TrainError as error:
        raise TrainError(f"{checkpoint}: {error}") from None


def _float_state(state: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights and statistics of the float network within those that were trained with the rounding of int8."""
    return {name: state.get(f"graph.{name}", value) for name, value in model.state_dict().items()}


def classes_of(network: nn.Module, name: str, side: int) -> int:
    """How many classes a network tells apart, in the mode that it is in. Raises `TrainError` for no classifier."""
    try:
        with torch.no_grad():
            logits = network(torch.zeros(2, IMAGE_CHANNELS, side, side))
    except Exception as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainError(f"{name}: fails at {side} px ({line})") from None
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
        raise TrainError(f"{name}: is no classifier of pictures: it gives no logits of images and classes")
    return logits.shape[1]
