"""Workloads of a user's own: what is marked, what it brings, and what is wrong with a file."""

import pytest
import torch

import mnv1
from mnv1.base.own_files import OwnFileError
from mnv1.cases import Case, Conditions, Marked
from mnv1.cases.grids import Overrides
from mnv1.cases.workloads.marked import marked_in
from mnv1.measure.modules import count_module, prepare
from mnv1.suite.profiles import select

FILE = """
import torch
from torch import nn

from mnv1 import workload


@workload
def plain():
    return nn.Conv2d(3, 8, 3), torch.randn(2, 3, 16, 16)


@workload(twin=plain)
def smaller():
    return nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 8, 1)), torch.randn(2, 3, 16, 16)


@workload(twin="plain")
def product():
    return torch.mm, (torch.randn(4, 5), torch.randn(5, 6))


@workload
def dictionary():
    return lambda one: {"out": [None, one + 1]}, torch.ones(2)


def helper():
    return 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return str(path)


def case(workload, precision="fp32"):
    return Case(workload, Conditions(1, "cpu", precision))


def test_what_is_marked_is_found_in_its_order(file):
    found = marked_in(file)
    assert [one.id for one in found] == [
        "own-mine-plain",
        "own-mine-smaller",
        "own-mine-product",
        "own-mine-dictionary",
    ]
    assert found[1].twin == Marked(file, "plain")
    assert found[0].twin is None
    assert found[1].pair_id == "speedup-own-mine-smaller"


def test_a_workload_is_called_with_its_own_input(file):
    plain, _, product, dictionary = marked_in(file)
    assert prepare(case(plain)).call().shape == (2, 8, 14, 14)
    assert prepare(case(product)).call().shape == (4, 6)
    assert torch.equal(prepare(case(dictionary)).call(), torch.full((2,), 2.0))
    prepared = prepare(case(plain))
    assert torch.equal(prepared.again()(), prepared.call()), "elsewhere in memory it does the same"


def test_it_is_counted_when_it_is_measured(file):
    plain, smaller, product, _ = marked_in(file)
    assert count_module(case(plain)) == {"macs": 2 * 14 * 14 * 27 * 8, "params": 27 * 8 + 8}
    assert count_module(case(smaller))["macs"] == 2 * 14 * 14 * (27 + 24)
    assert count_module(case(product)) == {"macs": 4 * 5 * 6, "params": 0}


def test_the_suite_measures_a_files_workloads_instead_of_a_profile(file):
    cases = select("default", Overrides(devices=("cpu",)), marked_in(file))
    assert [one.id for one in cases.models] == [
        f"own-mine-{name}-b1-cpu-fp32" for name in ("plain", "smaller", "product", "dictionary")
    ]
    assert [one.id for one in cases.pairs] == [
        f"speedup-own-mine-{name}-b1-cpu-fp32" for name in ("smaller", "product")
    ]
    assert not cases.layers
    in_two = select("default", Overrides(devices=("cpu",), precisions=("fp32", "amp")), marked_in(file))
    assert len(in_two.models) == 8


def test_the_decorator_leaves_the_function_as_it_is():
    def made():
        return 3

    assert mnv1.workload(made) is made
    assert mnv1.workload(twin="other")(made)() == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no function is marked: from mnv1 import workload"),
        ("1 / 0", "raises when it is run: ZeroDivisionError: division by zero"),
        (
            "from mnv1 import workload\n@workload(twin='b')\ndef a(): pass",
            "the twin of a is b, which is no other marked",
        ),
        (
            "from mnv1 import workload\n@workload(twin='a')\ndef a(): pass",
            "the twin of a is a, which is no other marked",
        ),
        ("from mnv1 import workload\n@workload\ndef a(x): pass", r"a needs values for its parameters \(x\) in over="),
    ],
)
def test_a_file_that_cannot_be_used_is_said_in_a_line(tmp_path, text, why):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(OwnFileError, match=why):
        marked_in(str(path))
    with pytest.raises(OwnFileError, match="there is no such file"):
        marked_in(str(tmp_path / "other.py"))


@pytest.mark.parametrize(
    ("body", "why"),
    [("1 / 0", "a raises ZeroDivisionError"), ("return 3", "a must return what is called, or that and its input")],
)
def test_a_workload_that_cannot_be_made_is_said_in_a_line(tmp_path, body, why):
    path = tmp_path / "mine.py"
    path.write_text(f"from mnv1 import workload\n@workload\ndef a():\n    {body}\n")
    (found,) = marked_in(str(path))
    with pytest.raises(OwnFileError, match=why):
        found.build()
