"""Which rows of the results answer which question, in the order in which they are shown. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mnv1.cases import MODES, PRECISIONS
from mnv1.cases.workloads import REFERENCES
from mnv1.net.architecture import network_layers
from mnv1.net.counts import layer_macs
from mnv1.net.published import accuracy
from mnv1.net.roofline import least_times
from mnv1.report import why
from mnv1.report.cells import OPERATORS
from mnv1.store.columns import PHASES, TRAINING, TRAINING_SPEEDUP
from mnv1.store.runs import Results

Rows = pd.DataFrame
Select = Callable[[Results], Rows]

KINDS = ("standard", "separable", "depthwise", "pointwise", "shallow", *REFERENCES)


def of(results: Results, subject: str, measures: str) -> Rows:
    """Cases of layers or models in eager mode that measure one thing.

    Other packages' networks, and other modes, have views of their own.
    """
    return _own(results.cases, subject, measures)


def _own(rows: Rows, subject: str, measures: str) -> Rows:
    chosen = (rows["subject"] == subject) & (rows["measures"] == measures) & ~rows["kind"].isin(REFERENCES)
    selected: Rows = eager(rows[chosen])
    return selected


def eager(rows: Rows) -> Rows:
    """The rows of plain eager code: no view mixes them but the view of modes."""
    selected: Rows = rows[rows["mode"] == "eager"]
    return selected


def ordered(rows: Rows) -> Rows:
    """Networks from large to small, then by precision, batch size and kind."""
    keys = pd.DataFrame(
        {
            "alpha": -rows["alpha"].astype(float),
            "resolution": -rows["resolution"].astype(float),
            "precision": rows["precision"].map(list(PRECISIONS).index),
            "batch_size": rows["batch_size"],
            "kind": rows["kind"].map(KINDS.index),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def largest_network(rows: Rows) -> Rows:
    """The rows of the widest network, at its highest resolution."""
    if rows.empty:
        return rows
    widest: Rows = rows[rows["alpha"] == rows["alpha"].max()]
    largest: Rows = widest[widest["resolution"] == widest["resolution"].max()]
    return largest


def along(axis: str, fixed: str) -> Select:
    """Networks along one axis, at the largest `fixed` value that has the most values on the axis; at least two."""

    def select(results: Results) -> Rows:
        rows = of(results, "model", "latency")
        counts = rows.groupby(fixed)[axis].nunique()
        if counts.empty or counts.max() < 2:
            return rows.iloc[:0]
        chosen = counts[counts == counts.max()].index.max()
        # Only the curves along which the whole axis was measured.
        rows = rows[rows[fixed] == chosen]
        complete = rows.groupby(["kind", "precision", "batch_size"])[axis].transform("nunique") == counts.max()
        return ordered(rows[complete])

    return select


def verdict(results: Results) -> Rows:
    """Speedups of the largest network, with what the ceilings allow and what limits them, where that is known."""
    rows = ordered(largest_network(of(results, "model", "speedup")))
    if rows.empty:
        return rows
    ideals = why.with_ideals(rows)[["ideal_folded", "ideal_eager"]]
    return why.with_limits(rows.join(ideals), results)


def with_reasons(results: Results) -> Rows:
    """The verdict's rows whose run has ceilings."""
    return why.with_ideals(verdict(results))


def with_excess(results: Results) -> Rows:
    """The verdict's rows of which it is known where the time beyond theory goes."""
    rows = verdict(results)
    return rows[rows["excess"] > 0].reset_index(drop=True) if "excess" in rows else rows.iloc[:0]


def model_speedups(results: Results) -> Rows:
    """Speedups of all networks."""
    return ordered(of(results, "model", "speedup"))


def layers(measures: str) -> Select:
    """Blocks as the network has them, whatever order they were measured in: fp32 before amp, then by batch size."""

    def select(results: Results) -> Rows:
        rows = of(results, "layer", measures)
        keys = pd.DataFrame(
            {
                "precision": rows["precision"].map(list(PRECISIONS).index),
                "batch_size": rows["batch_size"],
                "side": -rows["side"].astype(float),
                "in_channels": rows["in_channels"],
                "out_channels": rows["out_channels"],
                "kind": rows["kind"].map(KINDS.index),
            }
        )
        return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)

    return select


def with_several(column: str) -> Select:
    """The largest network, where at least two values of `column` were measured."""

    def select(results: Results) -> Rows:
        rows = largest_network(of(results, "model", "latency"))
        return ordered(rows if rows[column].nunique() >= 2 else rows.iloc[:0])

    return select


def precisions(results: Results) -> Rows:
    """Networks in several precisions, each told apart from fp32 by its interval, or not."""
    rows = of(results, "model", "latency")
    same = ["kind", "shape", "batch_size"]
    several = rows.groupby(same)["precision"].transform("nunique") >= 2
    rows = ordered(rows[several])
    plain = {tuple(row[same]): row for _, row in rows.iterrows() if row["precision"] == "fp32"}
    return rows.assign(against_fp32=[_against(row, plain.get(tuple(row[same]))) for _, row in rows.iterrows()])


def _against(row: pd.Series, plain: pd.Series | None) -> str:
    if row["precision"] == "fp32" or plain is None:
        return ""
    if row["latency_low"] > plain["latency_high"]:
        return "slower"
    return "faster" if row["latency_high"] < plain["latency_low"] else "indistinguishable"


def modes(results: Results) -> Rows:
    """The largest network of each kind and batch size that was run in several modes, the fastest first."""
    rows = results.cases
    rows = rows[(rows["subject"] == "model") & (rows["measures"] == "latency") & ~rows["kind"].isin(REFERENCES)]
    rows = largest_network(rows)
    several = rows.groupby(["kind", "batch_size"])["mode"].transform("nunique") >= 2
    rows = rows[several]
    keys = pd.DataFrame(
        {
            "batch_size": rows["batch_size"],
            "kind": -rows["kind"].map(KINDS.index),  # separable before standard
            "latency": rows["latency_p50"],
            "mode": rows["mode"].map(list(MODES).index),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def memory(results: Results) -> Rows:
    """The largest network's memory."""
    return ordered(largest_network(of(results, "model", "latency")))


def training_speedups(results: Results) -> Rows:
    """Speedups of training steps; `inference_*`: the speedup of a forward pass alone, where it was measured as well."""
    columns = ("speedup", "speedup_low", "speedup_high")
    return _beside_inference(ordered(of(results, "model", TRAINING_SPEEDUP)), of(results, "model", "speedup"), columns)


def training_memory(results: Results) -> Rows:
    """The largest network's memory in a training step, and in a forward pass where that was measured as well."""
    rows = ordered(largest_network(of(results, "model", TRAINING)))
    return _beside_inference(rows, of(results, "model", "latency"), ("peak_memory",))


def _beside_inference(rows: Rows, inference: Rows, columns: tuple[str, ...]) -> Rows:
    same = ["kind", "shape", "device", "precision", "batch_size"]
    found = inference[[*same, *columns]].rename(columns={name: f"inference_{name}" for name in columns})
    return rows.merge(found, on=same, how="left")


def training_steps(results: Results) -> Rows:
    """Training steps at the highest resolution, with the share of the time that each phase has."""
    rows = of(results, "model", TRAINING)
    rows = ordered(rows[rows["resolution"] == rows["resolution"].max()])
    times = rows[[f"{phase}_time" for phase in PHASES]].astype(float)
    shares = times.div(times.sum(axis="columns"), axis="index").set_axis([f"share_{phase}" for phase in PHASES], axis=1)
    return rows.join(shares).dropna(subset=list(shares.columns)).reset_index(drop=True)


def models(results: Results) -> Rows:
    """Latencies of all networks."""
    return ordered(of(results, "model", "latency"))


def side_by_side(results: Results) -> Rows:
    """Networks of other packages, at the highest resolution that has any, with this suite's own beside them.

    One row each for a precision and batch size in which there is another package's.
    """
    rows = eager(results.cases)
    rows = rows[(rows["subject"] == "model") & (rows["measures"] == "latency")]
    others = rows[rows["kind"].isin(REFERENCES)]
    if others.empty:
        return others
    others = others[others["resolution"] == others["resolution"].max()]
    same = ["resolution", "precision", "batch_size"]
    rows = rows.merge(others[same].drop_duplicates(), on=same)
    keys = pd.DataFrame(
        {
            "precision": rows["precision"].map(list(PRECISIONS).index),
            "batch_size": rows["batch_size"],
            "kind": rows["kind"].map(_SIDE_BY_SIDE.index),
            "alpha": -rows["alpha"].astype(float),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


_SIDE_BY_SIDE = ("separable", "shallow", *REFERENCES, "standard")


def operators(results: Results) -> Rows:
    """The largest network's time and MACs by operator, as shares: columns `time_*` with their interval, `macs_*`."""
    rows = ordered(largest_network(of(results, "model", "latency")))
    profiled = dict(iter(results.operators.groupby("id")))
    rows = rows[rows["id"].isin(profiled)].reset_index(drop=True)
    shares = []
    for _, row in rows.iterrows():
        profile = profiled[row["id"]].set_index("operator")
        total = profile["seconds"].sum()
        found: dict[str, float] = {"calls": float(profile["calls"].max())}
        for name in profile.index:
            found |= {
                f"time_{name}{end}": profile.loc[name, column] / total
                for end, column in (("", "seconds"), ("_low", "low"), ("_high", "high"))
            }
        macs = [(layer.op, layer_macs(layer)) for layer in why.workload_of(row).layers]
        whole = sum(number for _, number in macs)
        found |= {f"macs_{name}": sum(number for op, number in macs if op == name) / whole for name in OPERATORS}
        shares.append(found)
    return pd.concat([rows, pd.DataFrame(shares)], axis="columns")


def roofline(results: Results) -> Rows:
    """Layers against the ceilings: MACs a byte (`intensity`), the share of the roof that is reached, and of the time.

    `share`: of the time of all blocks of the network (alpha 1, 224 pixels) of the same kind; the halves of a separable
    block share one whole. The memory roof holds beyond the cache; a point `above` it has its data in the cache.
    """
    rows = why.with_ceilings(layers("latency")(results))
    if rows.empty:
        return rows
    repeats: dict[str, int] = {}
    for layer in network_layers("standard"):
        shape = f"{layer.in_channels}x{layer.out_channels}-s{layer.stride}-d{layer.side}"
        repeats[shape] = repeats.get(shape, 0) + 1
    intensity = rows["macs"] / rows["min_bytes"]
    memory_roof = intensity * rows["copy_rate"]
    spent = rows["latency_p50"] * rows["shape"].map(repeats)
    part = rows["kind"].replace({"depthwise": "halves", "pointwise": "halves"})
    whole = spent.groupby([part, rows["precision"], rows["batch_size"]]).transform("sum")
    return rows.assign(
        intensity=intensity,
        of_roof=rows["macs_per_second"] / memory_roof.clip(upper=rows["peak_rate"]),
        share=spent / whole,
        above=(rows["macs_per_second"] > memory_roof) & (memory_roof < rows["peak_rate"]),
    ).reset_index(drop=True)


def pareto(results: Results) -> Rows:
    """Separable networks by measured latency and published top-1, with their ranks by latency and by MACs.

    At the batch size and precision that have most of the 16 published variants; at least three of them.
    """
    rows = of(results, "model", "latency")
    rows = rows[rows["kind"] == "separable"]
    published = accuracy()
    tensorflow, paper = (
        published[published["source"] == source].set_index(["alpha", "resolution"])["top1"].to_dict()
        for source in ("tensorflow", "paper")
    )
    sizes = [(float(alpha), int(pixels)) for alpha, pixels in zip(rows["alpha"], rows["resolution"], strict=True)]
    top1, at_paper = ([float(found.get(size, np.nan)) for size in sizes] for found in (tensorflow, paper))
    rows = rows.assign(top1=top1, paper=at_paper)
    rows = ordered(rows[rows["top1"].notna()])
    groups = [group for _, group in rows.groupby(["precision", "batch_size"], sort=False)]
    if not groups or max(map(len, groups)) < 3:
        return rows.iloc[:0]
    rows = max(groups, key=len).sort_values("latency_p50").reset_index(drop=True)
    return rows.assign(
        macs_rank=rows["macs"].rank(),
        latency_rank=rows["latency_p50"].rank(),
        on_front=rows["top1"] > rows["top1"].shift().cummax().fillna(0.0),
    )


PREDICTORS = ("MACs", "bytes", "roofline", "roofline, eager")


def predictors(results: Results) -> Rows:
    """Every layer once for each predictor of its time: `predicted` in seconds.

    MACs and bytes are scaled to fit, by the geometric mean of time to predictor over the layers of one precision; the
    roofline is the least time by the ceilings, with BatchNorm and ReLU folded or as passes of their own, unscaled.
    """
    rows = why.with_ceilings(layers("latency")(results))
    found = []
    for _, group in rows.groupby("precision", sort=False):
        least = [_least(row) for _, row in group.iterrows()]
        values = {
            "MACs": _scaled(group["macs"], group["latency_p50"]),
            "bytes": _scaled(group["min_bytes"], group["latency_p50"]),
            "roofline": pd.Series([folded for folded, _ in least], group.index),
            "roofline, eager": pd.Series([eager for _, eager in least], group.index),
        }
        found += [group.assign(predictor=name, predicted=values[name]) for name in PREDICTORS]
    return pd.concat(found, ignore_index=True) if found else rows


def _scaled(predictor: pd.Series, measured: pd.Series) -> pd.Series:
    """The predictor times the factor that makes it right on geometric mean."""
    logs = (np.log(measured.astype(float)) - np.log(predictor.astype(float))).mean()
    scaled: pd.Series = predictor * np.exp(logs)
    return scaled


def _least(row: pd.Series) -> tuple[float, float]:
    element_size = PRECISIONS[row["precision"]].element_size
    least = least_times(why.workload_of(row).layers, why.ceilings_of(row), int(row["batch_size"]), element_size)
    return sum(one.total(False) for one in least), sum(one.total(True) for one in least)


def thread_scaling(results: Results) -> Rows:
    """The largest network by number of threads: the newest run of the same machine for each, where there are two."""
    rows = _own(results.history, "model", "latency")
    rows = ordered(largest_network(rows).sort_values("time")).drop_duplicates(["id", "threads"], keep="last")
    several = rows.groupby("id")["threads"].transform("nunique") >= 2
    return rows[several].sort_values("threads", kind="stable").reset_index(drop=True)


def history(results: Results) -> Rows:
    """The largest network's speedups in every stored run of the same environment, oldest first; at least two runs."""
    here = set(results.cases["environment"])
    rows = eager(results.history)
    rows = rows[rows["environment"].isin(here) & (rows["subject"] == "model") & (rows["measures"] == "speedup")]
    rows = ordered(largest_network(rows)).sort_values("time", kind="stable").reset_index(drop=True)
    return rows if rows["run"].nunique() >= 2 else rows.iloc[:0]
