"""BatchNorm folded into the convolution before it: in evaluation mode both are linear, so one convolution does both."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, with each BatchNorm folded whose only input is a convolution's output.

    What a BatchNorm of another package does beside (timm's also applies the activation) stays in its place. Raises
    `ValueError` for a network in training mode, whose BatchNorm depends on the batch, and whatever `torch.fx` raises
    for one that it cannot trace.
    """
    if module.training:
        raise ValueError("BatchNorm can be folded in evaluation mode only: call .eval() first")
    graph = _Tracer().trace(copied := deepcopy(module))
    traced = fx.GraphModule(copied, graph)
    for node in list(graph.nodes):
        norm, source = _submodule(traced, node), node.args[0] if node.args else None
        convolution = _submodule(traced, source)
        if not (isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d)):
            continue
        assert isinstance(source, fx.Node)
        if len(source.users) > 1 or not norm.track_running_stats:
            continue
        traced.set_submodule(str(source.target), fuse_conv_bn_eval(convolution, norm))
        rest = _beside(norm)
        if rest is not None:
            traced.set_submodule(str(node.target), rest)
            continue
        node.replace_all_uses_with(source)
        graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


class _Tracer(fx.Tracer):
    """Takes every BatchNorm as a whole, those of other packages too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _submodule(traced: fx.GraphModule, node: Any) -> nn.Module | None:
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return traced.get_submodule(str(node.target))


def _beside(norm: nn.BatchNorm2d) -> nn.Module | None:
    """What a BatchNorm does after normalising: nothing, or the activation that timm's keeps as `act`."""
    rest = getattr(norm, "act", None)
    return rest if isinstance(rest, nn.Module) and not isinstance(rest, nn.Identity) else None
