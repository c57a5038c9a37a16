"""Networks of other packages: their counts are the published ones, and they can be measured as any other."""

import pytest
import torch

from mnv1.cases import Case, Conditions, Reference
from mnv1.cases.workloads import REFERENCES
from mnv1.measure.modules import build, count_module, prepare
from mnv1.net.architecture import network_layers
from mnv1.net.counts import count, count_with_fvcore
from tests.visits import recorded


def reference(kind, resolution=224, alpha=1.0):
    return Reference(kind, resolution, alpha if REFERENCES[kind].has_alpha else None)


@pytest.mark.parametrize("kind", REFERENCES)
def test_counts_are_the_published_ones(kind):
    module = build(reference(kind))
    counts = count_module(Case(reference(kind), Conditions(1, "cpu", "fp32")))
    assert counts["params"] == REFERENCES[kind].params
    digits = f"{REFERENCES[kind].macs:.3e}"  # four digits are published
    assert f"{counts['macs']:.3e}" == digits
    if kind != "timm":  # fvcore cannot trace through timm's own layers
        assert count_with_fvcore(module, torch.zeros(1, 3, 224, 224)) == counts["macs"]


@pytest.mark.parametrize(("alpha", "resolution"), [(1.0, 224), (0.25, 96)])
def test_timms_counts_are_those_of_the_same_network_here(alpha, resolution):
    expected = count(network_layers("separable", alpha, resolution))
    counts = count_module(Case(reference("timm", resolution, alpha), Conditions(1, "cpu", "fp32")))
    assert counts == {"macs": expected.macs, "params": expected.params}


def test_counts_of_a_case_are_those_of_a_call():
    one, eight = (count_module(Case(reference("resnet18", 64), Conditions(n, "cpu", "fp32"))) for n in (1, 8))
    assert eight == {"macs": 8 * one["macs"], "params": one["params"]}


@pytest.mark.parametrize("kind", ["timm", "mobilenet_v2", "resnet18"])
def test_it_can_be_called_and_its_signal_does_not_vanish(kind):
    output = prepare(Case(reference(kind, 64), Conditions(2, "cpu", "fp32"))).call()
    assert output.shape == (2, 1000)
    assert 1e-3 < output.std() < 1e3


def test_a_visit_finds_the_counts_and_its_record_holds_them():
    case = Case(reference("resnet18", 32), Conditions(2, "cpu", "fp32"))
    facts = recorded(case).facts
    assert facts.items() >= count_module(case).items()
    assert facts["peak_memory"] > 0
    assert facts["throughput"] == pytest.approx(2 / facts["latency_p50"])
