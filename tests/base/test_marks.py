"""Functions that are marked as workloads, and the cases that each gives."""

# ruff: noqa: ARG005

import itertools
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.base.marks import MarkError, cases_of, workload


def module(**functions):
    """A module in which these functions are defined."""
    made = ModuleType("mine")
    for name, function in functions.items():
        function.__module__, function.__name__ = "mine", name
        setattr(made, name, function)
    return made


def marked(function=None, **said):
    return workload(**said)(function or (lambda: print))


names = st.text("abc", min_size=1, max_size=4)
values = st.lists(st.integers(0, 9) | names, min_size=1, max_size=3, unique_by=str)


@given(st.dictionaries(names, values, min_size=1, max_size=3))
def test_every_combination_of_values_is_a_case_of_its_own(over):
    found = cases_of(module(one=marked(lambda **parameters: print, over=over)))
    assert [list(case.parameters.values()) for case in found] == [
        list(one) for one in itertools.product(*over.values())
    ]
    assert len({case.id for case in found}) == len(found)
    assert all(case.id.startswith("one-") for case in found)


def test_cases_may_be_listed_and_named():
    over = [{"size": 3, "kind": "a b"}, {"size": 10, "kind": "c"}]
    found = cases_of(module(one=marked(lambda size, kind: print, name="sort-{kind}-{size:02}", over=over)))
    assert [case.id for case in found] == ["sort-a-b-03", "sort-c-10"]
    assert [dict(case.parameters) for case in found] == over


def test_defaults_need_no_value():
    (found,) = cases_of(module(one=marked(lambda size=3: (max, (size, 7)))))
    assert (found.id, found.made()) == ("one", (max, (3, 7)))


@pytest.mark.parametrize(
    ("returned", "made"),
    [(print, (print, ())), ((abs, -3), (abs, (-3,))), ((max, (1, 2)), (max, (1, 2))), ((abs, ()), (abs, ()))],
)
def test_what_is_called_and_its_arguments(returned, made):
    (found,) = cases_of(module(one=marked(lambda: returned)))
    assert found.made() == made


def test_a_twin_is_the_case_with_the_same_parameters():
    sizes = {"size": [1, 2]}
    found = cases_of(
        module(one=marked(lambda size: print, over=sizes), other=marked(lambda size: print, over=sizes, twin="one"))
    )
    assert [(case.id, case.twin) for case in found] == [
        ("one-1", None),
        ("one-2", None),
        ("other-1", "one-1"),
        ("other-2", "one-2"),
    ]


def test_a_tolerance_may_depend_on_the_parameters():
    tell = {"precision": ["fp32", "amp"]}
    found = cases_of(module(one=marked(lambda precision: print, over=tell, tolerance=lambda precision: len(precision))))
    assert [case.tolerance for case in found] == [4, 3]
    assert cases_of(module(one=marked()))[0].tolerance == 1e-4


@pytest.mark.parametrize(
    ("functions", "why"),
    [
        ({}, "no function is marked: from mnv1 import workload"),
        ({"one": marked(lambda x: print)}, r"one needs values for its parameters \(x\) in over=; given: none"),
        ({"one": marked(lambda: print, over={"y": [1]})}, r"one needs values for its parameters \(none\) .* given: y"),
        ({"one": marked(name="{size}")}, "one: its name '{size}' may hold its parameters in braces, and nothing else"),
        ({"one": marked(name="a"), "two": marked(name="a")}, "two cases are named a: give each a name of its own"),
        ({"one": marked(lambda x: print, over={"x": [1]}, twin="two"), "two": marked()}, "no case with the same param"),
        ({"one": marked(twin="two")}, "the twin of one is two, which is no other marked function"),
    ],
)
def test_marks_that_cannot_be_used(functions, why):
    with pytest.raises(MarkError, match=why):
        cases_of(module(**functions))
