"""Which part of a case is slower, from made-up profiles."""

import numpy as np
import pytest

from mnv1.regression.hints import ROUNDS, hint_of, hints_of


def profiles(seed, kind="operators", noise=0.03, **parts):
    """Profiles of some rounds: by part, how often it ran and for how long, with noise."""
    rng = np.random.default_rng(seed)
    return [
        {
            "kind": kind,
            "parts": {name: [count, seconds * rng.normal(1, noise)] for name, (count, seconds) in parts.items()},
        }
        for _ in range(ROUNDS)
    ]


def test_the_part_that_grew_most_is_named_with_its_interval():
    base = profiles(1, conv=(40, 0.6), norm=(20, 0.3), relu=(20, 0.1))
    head = profiles(2, conv=(40, 0.6), norm=(20, 0.45), relu=(20, 0.12))
    found = hint_of(base, head, calls=20)
    assert found.part == "norm"
    assert found.low < 0.15 < found.high
    assert found.low > 0.05
    assert found.count == (1.0, 1.0)


def test_a_part_that_base_lacks_is_found():
    base, head = profiles(1, conv=(40, 0.6)), profiles(2, conv=(40, 0.6), copy=(80, 0.2))
    found = hint_of(base, head, calls=20)
    assert (found.part, found.count) == ("copy", (0.0, 4.0))


def test_without_a_difference_nothing_stands_out():
    assert hint_of(profiles(1, conv=(40, 0.6), norm=(20, 0.3)), profiles(2, conv=(40, 0.6), norm=(20, 0.3)), 20) is None
    assert hint_of(profiles(1), profiles(2), 20) is None


def test_chance_names_a_part_in_few_cases():
    named = [
        hint_of(profiles(seed, a=(1, 0.5), b=(1, 0.3)), profiles(1000 + seed, a=(1, 0.5), b=(1, 0.3)), 1)
        for seed in range(300)
    ]
    assert sum(one is not None for one in named) <= 0.05 * 300


def test_a_part_that_runs_more_often_is_told_where_no_time_is_sure():
    base, head = profiles(1, noise=0.5, add=(20, 0.1)), profiles(2, noise=0.5, add=(40, 0.1))
    found = hint_of(base, head, calls=20)
    assert (found.part, found.count) == ("add", (1.0, 2.0))
    assert found.low <= 0


def test_sides_are_profiled_in_turns():
    asked = []

    def ask(side, **_):
        asked.append(side)
        return {"kind": "functions", "parts": {"parse": [0, 1.0 if side == "base" else 1.5]}}

    found = hints_of(ask, calls=5)
    assert asked[:8] == ["base", "head", "head", "base", "base", "head", "head", "base"]
    assert len(asked) == 2 * ROUNDS
    assert found.low == pytest.approx(0.5)
