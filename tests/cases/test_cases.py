from dataclasses import replace
from functools import cache
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.base.run_to_run import RunToRun
from mnv1.cases import Block, Case, Conditions, Network, Pair, Reference, Training
from mnv1.cases.availability import why_not_here
from mnv1.cases.grids import CaseError, Overrides
from mnv1.cases.workloads import REFERENCES
from mnv1.suite.profiles import PROFILES, Budget, select, shard
from mnv1.suite.values import (
    parse_alphas,
    parse_batch_sizes,
    parse_devices,
    parse_kinds,
    parse_precisions,
    parse_resolutions,
    parse_shard,
)

CPU = Overrides(devices=("cpu",))


def all_of(cases):
    return list(chain(cases.layers, cases.models, cases.pairs, cases.trainings, cases.training_pairs))


def test_ids_are_pinned():
    # Stored results are keyed by these: a change here orphans every stored run.
    conditions = Conditions(8, "cpu", "fp32")
    block = Block("separable", 64, 128, 2, 112)
    network = Network("separable", 0.5, 160)
    assert Case(block, conditions).id == "layer-separable-64x128-s2-d112-b8-cpu-fp32"
    assert Case(network, conditions).id == "model-separable-a0.50-r160-b8-cpu-fp32"
    assert (
        Case(Network("shallow", 1.0, 224), Conditions(1, "cuda", "tf32")).id == "model-shallow-a1.00-r224-b1-cuda-tf32"
    )
    standard = Case(Network("standard", 0.5, 160), conditions)
    assert Pair(standard, Case(network, conditions)).id == "speedup-model-a0.50-r160-b8-cpu-fp32"
    assert Network("separable", 0.333, 64).id == "model-separable-a0.333-r64"
    assert Case(Reference("resnet18", 224), conditions).id == "model-resnet18-r224-b8-cpu-fp32"
    assert Case(Reference("timm", 160, 0.5), conditions).id == "model-timm-a0.50-r160-b8-cpu-fp32"
    steps = [Case(Training(kind, 1.0, 224), conditions) for kind in ("standard", "separable")]
    assert steps[1].id == "training-separable-a1.00-r224-b8-cpu-fp32"
    assert Pair(*steps).id == "training-speedup-a1.00-r224-b8-cpu-fp32"
    # A step is no forward pass, whatever they have in common.
    assert steps[1] != Case(Network("separable", 1.0, 224), conditions)


def test_smoke_profile_is_pinned():
    cases = select("smoke", Overrides(devices=("cpu",), precisions=("fp32",)))
    assert [case.id for case in all_of(cases)] == [
        "layer-standard-64x128-s2-d112-b1-cpu-fp32",
        "layer-depthwise-64x128-s2-d112-b1-cpu-fp32",
        "layer-pointwise-64x128-s2-d112-b1-cpu-fp32",
        "layer-separable-64x128-s2-d112-b1-cpu-fp32",
        "layer-standard-512x512-s1-d14-b1-cpu-fp32",
        "layer-depthwise-512x512-s1-d14-b1-cpu-fp32",
        "layer-pointwise-512x512-s1-d14-b1-cpu-fp32",
        "layer-separable-512x512-s1-d14-b1-cpu-fp32",
        "model-standard-a0.25-r128-b1-cpu-fp32",
        "model-separable-a0.25-r128-b1-cpu-fp32",
        "speedup-layer-64x128-s2-d112-b1-cpu-fp32",
        "speedup-layer-512x512-s1-d14-b1-cpu-fp32",
        "speedup-model-a0.25-r128-b1-cpu-fp32",
        "training-separable-a0.25-r128-b2-cpu-fp32",
        "training-speedup-a0.25-r128-b2-cpu-fp32",
    ]


def test_default_profile_covers_the_question():
    cases = select("default", CPU)
    shapes = {case.workload.shape_id for case in cases.layers}
    assert len(shapes) == 10  # the stem and nine distinct blocks
    for shape in shapes - {"3x32-s2-d224"}:
        kinds = {case.workload.kind for case in cases.layers if case.workload.shape_id == shape}
        assert kinds == {"standard", "depthwise", "pointwise", "separable"}
    assert {case.workload.kind for case in cases.layers if case.workload.shape_id == "3x32-s2-d224"} == {"standard"}
    assert {case.workload.alpha for case in cases.models} == {1.0, 0.75, 0.5, 0.25}
    assert {case.workload.resolution for case in cases.models} == {224, 192, 160, 128}
    assert {case.conditions.batch_size for case in cases.models} == {1, 8, 32}
    assert {case.conditions.precision for case in cases.models} == {"fp32", "amp"}
    assert (len(cases.layers), len(cases.models), len(cases.pairs)) == (93, 57, 36)


def test_full_profile_is_every_combination():
    models = {case.id for case in select("full", CPU).models}
    assert len(models) == 4 * 4 * 3 * 3 * 2  # alpha, resolution, kind, batch size, precision
    trainings = {case.id for case in select("full", CPU).trainings}
    assert trainings == {name.replace("model", "training") for name in models}


def test_training_profile_has_what_the_claims_are_about():
    cases = select("training", CPU)
    assert cases.layers == cases.models == cases.pairs == ()
    sizes = {(case.workload.alpha, case.conditions.batch_size) for case in cases.trainings}
    assert sizes == {(1.0, 1), (1.0, 8), (1.0, 32), (0.5, 1), (0.5, 8), (0.25, 1), (0.25, 8)}
    assert {case.conditions.precision for case in cases.trainings} == {"fp32", "amp"}
    assert (len(cases.trainings), len(cases.training_pairs)) == (2 * 7 * 2, 7 * 2)
    assert {case.workload.kind for case in cases.trainings} == {"standard", "separable"}
    assert all(pair.separable in cases.trainings and pair.standard in cases.trainings for pair in cases.training_pairs)
    on_cuda = select("training", Overrides(devices=("cuda",))).trainings
    assert {case.conditions.batch_size for case in on_cuda} == {32, 256}
    # Every option that names an axis holds for training too.
    chosen = select(
        "training", Overrides(("cpu",), ("amp",), (0.75,), (96,), (4,), ("separable", "resnet18", "depthwise"))
    )
    assert [case.id for case in all_of(chosen)] == ["training-separable-a0.75-r96-b4-cpu-amp"]


def test_training_steps_are_not_in_the_default_profile():
    cases = select("default")
    assert cases.trainings == cases.training_pairs == ()


def test_a_step_costs_three_forward_passes_and_has_a_budget_of_its_own():
    budgets = {"model": Budget(1.0, 5.0, 11.0), "training": Budget(7.0, 35.0, 77.0)}
    profile = replace(PROFILES["training"], budgets=budgets)
    forward, step = (Case(one("separable", 1.0, 224), Conditions(8, "cpu", "fp32")) for one in (Network, Training))
    assert (profile.policy_for(forward).visit_time, profile.policy_for(step).visit_time) == (1.0, 7.0)
    assert profile.policy_for(Pair(step, step)).max_time == 77.0
    assert profile.policy_for(Pair(forward, forward)).max_time == 11.0
    profile = replace(profile, budgets=dict.fromkeys(budgets, Budget(0.0, 0.0, 0.0)))
    one, other = (profile.expected_seconds(case) - 1.1 for case in (forward, step))
    assert 2.9 < other / one < 3


def test_a_network_that_one_image_cannot_train_has_a_reason():
    def reason(resolution, batch_size, make=Training):
        case = Case(make("separable", 0.25, resolution), Conditions(batch_size, "cpu", "fp32"))
        assert why_not_here(case, {}, True) == why_not_here(Pair(case, case), {}, True)
        return why_not_here(case, {}, True)

    assert reason(32, 1).startswith("one image of 32 px leaves one value a channel, and BatchNorm needs two")
    assert reason(33, 1) is reason(32, 2) is reason(32, 1, Network) is None


@pytest.mark.parametrize("profile", PROFILES)
def test_ids_are_unique_and_usable_with_k(profile):
    cases = select(profile)
    ids = [case.id for case in all_of(cases)]
    assert len(set(ids)) == len(ids)
    # pytest's -k takes word characters, and : + - . [ ] \ / without quoting.
    assert not set("".join(ids)) - set("abcdefghijklmnopqrstuvwxyz0123456789.-_")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_paired_speedups(profile):
    cases = select(profile)
    assert cases.pairs or cases.training_pairs


def test_cuda_adds_tf32_and_a_larger_batch():
    cases = select("default", Overrides(devices=("cuda",)))
    assert {case.conditions.precision for case in cases.models} == {"fp32", "tf32", "amp"}
    assert {case.conditions.batch_size for case in cases.models} == {1, 8, 256}


def test_pair_sides_differ_in_kind_alone():
    for pair in (*select("default", CPU).pairs, *select("training", CPU).training_pairs):
        assert type(pair.standard.workload) is type(pair.separable.workload)
        assert pair.standard.workload.kind == "standard"
        assert pair.separable.workload.kind == "separable"
        assert pair.standard.workload.shape_id == pair.separable.workload.shape_id
        assert pair.standard.conditions == pair.separable.conditions
        assert pair.standard.output_shape == pair.separable.output_shape


def test_overrides_replace_axes():
    overrides = Overrides(("cpu",), ("amp",), (0.5,), (96,), (4,), ("separable",))
    cases = select("default", overrides)
    assert [case.id for case in cases.models] == ["model-separable-a0.50-r96-b4-cpu-amp"]
    assert not cases.pairs
    assert {case.workload.kind for case in cases.layers} == {"separable"}
    assert {case.conditions.batch_size for case in cases.layers} == {4}


def test_one_kind_selects_what_has_it():
    cases = select("default", Overrides(devices=("cpu",), kinds=("shallow",)))
    assert not cases.layers
    assert {case.workload.kind for case in cases.models} == {"shallow"}


def test_networks_of_other_packages_are_measured_when_they_are_named():
    for profile in PROFILES:
        assert not any(isinstance(case.workload, Reference) for case in select(profile).models)
    chosen = Overrides(("cpu",), ("fp32",), (1.0, 0.5), (224,), (1, 8), ("separable", *REFERENCES))
    cases = select("default", chosen)
    assert not cases.layers or {case.workload.kind for case in cases.layers} == {"separable"}
    assert not cases.pairs
    assert [case.id for case in cases.models if case.conditions.batch_size == 8] == [
        "model-separable-a1.00-r224-b8-cpu-fp32",
        "model-separable-a0.50-r224-b8-cpu-fp32",
        "model-timm-a1.00-r224-b8-cpu-fp32",
        "model-timm-a0.50-r224-b8-cpu-fp32",
        # These come in one width.
        "model-mobilenet_v2-r224-b8-cpu-fp32",
        "model-resnet18-r224-b8-cpu-fp32",
        "model-vgg16-r224-b8-cpu-fp32",
    ]
    assert [case.output_shape for case in cases.models] == [(case.conditions.batch_size, 1000) for case in cases.models]
    # Their cost is planned from what is published, so that shards and the time left are about right.
    profile = PROFILES["default"]
    costs = {case.workload.kind: profile.expected_seconds(case) for case in cases.models if "a0.50" not in case.id}
    assert costs["mobilenet_v2"] <= costs["separable"] == pytest.approx(costs["timm"], 0.01)
    assert costs["separable"] < costs["resnet18"] < costs["vgg16"]


def test_a_missing_package_leaves_out_its_cases_alone(monkeypatch):
    monkeypatch.setattr("mnv1.cases.workloads.references.find_spec", lambda name: None if name == "timm" else object())
    conditions = Conditions(1, "cpu", "fp32")
    timm, resnet, own = (
        Case(one, conditions)
        for one in (Reference("timm", 224, 1.0), Reference("resnet18", 224), Network("separable", 1, 64))
    )
    assert why_not_here(timm, {}, True) == "timm is not installed: pip install -c constraints.txt -e '.[parity]'"
    assert [why_not_here(one, {}, True) for one in (resnet, own, Pair(own, own))] == [None] * 3


@pytest.mark.parametrize(
    ("parse", "text", "complaint"),
    [
        (parse_devices, "cpu,tpu", "--devices: unknown value 'tpu'; valid values: cpu, cuda"),
        (parse_precisions, "fp8", "--precisions: unknown value 'fp8'; valid values: fp32, tf32, amp"),
        (parse_kinds, "dense", "--kinds: unknown value 'dense'; valid values: standard, depthwise, pointwise"),
        (parse_kinds, "", "--kinds: unknown value ''"),
        (parse_alphas, "0", "--alphas: '0' is not valid; valid values: positive numbers"),
        (parse_alphas, "nan", "--alphas: 'nan' is not valid"),
        (parse_alphas, "1,wide", "--alphas: 'wide' is not valid"),
        (parse_resolutions, "16", "--resolutions: '16' is not valid; valid values: whole numbers from 32 up"),
        (parse_batch_sizes, "0", "--batch-sizes: '0' is not valid; valid values: whole numbers from 1 up"),
        (parse_batch_sizes, "1.5", "--batch-sizes: '1.5' is not valid"),
    ],
)
def test_bad_values_are_named_with_the_valid_ones(parse, text, complaint):
    with pytest.raises(CaseError) as error:
        parse(text)
    assert str(error.value).startswith(complaint)


def test_values_are_parsed_once_each():
    assert parse_alphas("1, 0.5,1.0") == (1.0, 0.5)
    assert parse_kinds("separable,separable") == ("separable",)


def test_nothing_left_is_an_error():
    with pytest.raises(CaseError, match="leave no case"):
        select("default", Overrides(devices=("cpu",), precisions=("tf32",)))
    with pytest.raises(CaseError, match="unknown profile 'quick': choose one of smoke, default, full"):
        select("quick")


@given(st.floats(0.01, 10), st.integers(32, 512), st.integers(1, 64))
def test_ids_tell_cases_apart(alpha, resolution, batch_size):
    one = Case(Network("separable", alpha, resolution), Conditions(batch_size, "cpu", "fp32"))
    other = Case(Network("separable", alpha * 1.001, resolution), Conditions(batch_size, "cpu", "fp32"))
    assert one.id != other.id


@cache
def everything(profile):
    return all_of(select(profile))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_shards_are_disjoint_complete_balanced_and_always_the_same(profile, shards):
    cases, chosen = everything(profile), PROFILES[profile]
    parts = [shard(cases, number, shards, chosen) for number in range(1, shards + 1)]
    assert sum(map(len, parts)) == len(cases)
    assert frozenset().union(*parts) == {case.id for case in cases}
    assert [shard(cases[::-1], number, shards, chosen) for number in range(1, shards + 1)] == parts
    for device in ("cpu", "cuda"):
        cost = {case.id: chosen.expected_seconds(case) for case in cases if case.conditions.device == device}
        costs = [sum(cost[name] for name in part if name in cost) for part in parts]
        assert max(costs) - min(costs) <= max(cost.values(), default=0.0)


def test_a_shard_is_a_number_of_several():
    assert parse_shard("2/4") == (2, 4)
    for text in ("0/4", "5/4", "2", "a/b", "1/", "-1/2", "1/2/3"):
        with pytest.raises(CaseError, match=r"--shard: .* is not valid"):
            parse_shard(text)


def test_what_a_machine_cannot_do_has_a_reason():
    plain, able = {"bf16_instructions": False}, {"bf16_instructions": True, "gpu": "H100"}

    def why(device, precision, environment, chosen=False):
        return why_not_here(Case(Network("separable", 1.0, 64), Conditions(1, device, precision)), environment, chosen)

    assert "no CUDA device" in why("cuda", "fp32", plain, chosen=True)
    assert why("cuda", "amp", able) is None
    assert why("mps", "fp32", able) == "no mps device: torch.accelerator finds none here"
    assert why("mps", "fp32", plain | {"accelerator": "mps"}) is None
    assert "no bf16 instructions" in why("cpu", "amp", plain)
    assert why("cpu", "amp", plain, chosen=True) is why("cpu", "amp", able) is why("cpu", "fp32", plain) is None


def test_with_cold_caches_rounds_are_single_calls_and_visits_long_enough_for_some():
    profile = replace(PROFILES["default"], cold=True)
    for case in everything("smoke"):
        policy = profile.policy_for(case)
        assert (policy.cold, policy.round_time, policy.block_time) == (True, 0.0, 0.0)
        assert policy.visit_time >= 0.15
        assert not PROFILES["default"].policy_for(case).cold


def test_half_width_and_component_between_runs_are_of_every_policy():
    profile = replace(PROFILES["default"], half_width=0.05, run_to_run=RunToRun(gain=0.5))
    for case in everything("smoke"):
        assert profile.policy_for(case).precision == 0.05
        assert profile.policy_for(case).run_to_run == RunToRun(gain=0.5)
        assert PROFILES["default"].policy_for(case).precision == 0.02
