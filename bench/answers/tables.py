"""The tables of a suite: their columns, and how they are built from the records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from bench.files import check_sum, write_sum
from bench.suite.grid import Run
from bench.suite.schema import Suite
from nisp.errors import UserError
from nisp.whole_files import replacing

_per_cent = pa.Check.in_range(0, 100)
_positive = pa.Check.gt(0)
_KEY = {
    "suite": pa.Column(str),
    "dataset": pa.Column(str),
    "model": pa.Column(str),
    "depth": pa.Column("Int64", nullable=True),
    "seed": pa.Column(int, pa.Check.ge(0)),
    "method": pa.Column(str),
}
_CUT = {
    "plan": pa.Column(str),
    "ratio": pa.Column(float, pa.Check.in_range(0, 1, include_min=False, include_max=False)),
}

RUNS = pa.DataFrameSchema(
    {
        **_KEY,
        "criterion": pa.Column(str),
        "reconstruction": pa.Column(str, pa.Check.isin(["none", "least_squares", "mean"])),
        "recovery": pa.Column(str),
        "steps": pa.Column(int, pa.Check.ge(1)),
        **_CUT,
        **{
            name: pa.Column(float, _per_cent)
            for name in ("top1_base", "top1_pruned", "top1_recalibrated", "top1_final")
        },
        # Empty if there are at most five classes.
        **{name: pa.Column(float, _per_cent, nullable=True) for name in ("top5_base", "top5_final")},
        **{name: pa.Column(int, _positive) for name in ("macs_base", "macs", "params_base", "params")},
        **{name: pa.Column(float, _positive) for name in ("latency_base_ms", "latency_ms")},
        **{name: pa.Column(float, _positive) for name in ("latency_large_base_ms", "latency_large_ms")},
        "latency_large_batch": pa.Column(int, _positive),
        "score_seconds": pa.Column(float, pa.Check.ge(0)),
        "ware": pa.Column(float, pa.Check.ge(0), nullable=True),
        "agreement_top1": pa.Column(float, _per_cent),
        "agreement_top5": pa.Column(float, _per_cent, nullable=True),
        "removal_error": pa.Column(float, pa.Check.in_range(0, 1e-9)),
        "val_top1_final": pa.Column(float, _per_cent),
        # Times the base's learning rate, in fine-tuning and training from scratch; empty if nothing is trained.
        "learning_rate_factor": pa.Column(float, pa.Check.gt(0), nullable=True),
        # Who counted macs_base and macs; and the products alone by torch's counter, empty in older tables.
        "macs_counter": pa.Column(str, pa.Check.isin(["ptflops", "torch"])),
        **{name: pa.Column("Int64", pa.Check.ge(0), nullable=True) for name in ("macs_torch_base", "macs_torch")},
    },
    strict=True,
    ordered=True,
    unique=["dataset", "model", "depth", "seed", "method", "plan", "ratio"],
)

ADDED: Mapping[str, object] = {"macs_counter": "ptflops", "macs_torch_base": pd.NA, "macs_torch": pd.NA}
"""Columns of ``RUNS`` that tables of earlier versions lack, and what holds for these."""

CURVES = pa.DataFrameSchema(
    {
        **_KEY,
        **_CUT,
        "epoch": pa.Column(int, pa.Check.ge(0)),
        "train_loss": pa.Column(float, nullable=True),
        "test_loss": pa.Column(float),
        "test_top1": pa.Column(float, _per_cent),
        "learning_rate": pa.Column(float, pa.Check.ge(0)),
        "seconds": pa.Column(float, pa.Check.ge(0)),
    },
    strict=True,
    ordered=True,
)

REFITS = pa.DataFrameSchema(
    {
        **_KEY,
        **_CUT,
        "layer": pa.Column(str),
        "ridge": pa.Column(float, _positive),
        **{name: pa.Column(float, pa.Check.ge(0)) for name in ("error", "error_before", "validation_error")},
    },
    strict=True,
    ordered=True,
)
"""Least-squares results of each layer (nisp.pruning.reconstruction.Refit)."""

KINDS = ("supported", "contradicted", "equivalent", "open")
"""The verdicts that there are (bench.answers.decisions)."""

VERDICTS = pa.DataFrameSchema(
    {
        "question": pa.Column(str),
        "comparison": pa.Column(str),
        "setting": pa.Column(str),
        "n_seeds": pa.Column(int, pa.Check.ge(2)),
        "metric": pa.Column(str),
        "difference": pa.Column(float),
        "ci_low": pa.Column(float),
        "ci_high": pa.Column(float),
        "p_value": pa.Column(float, pa.Check.in_range(0, 1)),
        "margin": pa.Column(float, _positive),
        "seeds_needed": pa.Column("Int64", pa.Check.ge(3), nullable=True),
        "verdict": pa.Column(str, pa.Check.isin(KINDS)),
    },
    strict=True,
    ordered=True,
    unique=["question", "comparison", "setting"],
)
"""A row `overall` per comparison, first, then its settings (bench.answers.verdicts).

difference    signed so that positive favours the subject, with its 95 % interval
n_seeds       of `overall`, in the setting with the fewest
p_value       of the verdict, corrected within the question's rows `overall` or within its settings; of an open row the
              smaller one of difference and equivalence
margin        in units of the metric
seeds_needed  per setting, for a decision in 80 % of repetitions; empty if decided, or if more than 1000 are needed
"""


def collected(
    suite: Suite, records: Mapping[Run, dict[str, Any]], latencies: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """runs, curves and refits from each run's record and the rows of bench.runs.latency."""
    rows, epochs, refits = [], [], []
    latency = _latency_by_run(suite, latencies)
    for run, record in records.items():
        method = suite.methods[run.method]
        key = {
            "suite": suite.suite,
            "dataset": run.dataset,
            "model": run.model.name,
            "depth": run.model.depth,
            "seed": run.seed,
            "method": run.method,
        }
        cut = {"plan": run.plan, "ratio": run.ratio}
        composition = {part: getattr(method, part) for part in ("criterion", "reconstruction", "recovery", "steps")}
        rows.append({**key, **composition, **cut, **record["row"], **latency[run]})
        epochs += [{**key, **cut, **epoch} for epoch in record["curve"]]
        refits += [{**key, **cut, **refit} for refit in record["refits"]]
    return framed(rows, RUNS), framed(epochs, CURVES), framed(refits, REFITS)


def _latency_by_run(suite: Suite, rows: Sequence[Mapping[str, Any]]) -> dict[Run, dict[str, Any]]:
    """Each run's latency columns."""
    key = ("dataset", "label", "plan", "ratio", "method", "seed")
    measured = {
        tuple(row.get(part) for part in key): {name: value for name, value in row.items() if name not in key}
        for row in rows
    }
    found = {}
    for run in suite.runs:
        shape = (run.dataset, run.model.label, run.plan, run.ratio)
        own = (run.method, run.seed) if suite.plans[run.plan].by_scores else (None, None)
        found[run] = measured[*shape, *own]
    return found


def framed(rows: Sequence[Any], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The rows (mappings, or tuples in the schema's order; may be empty) as a table that fits the schema."""
    frame = pd.DataFrame(rows, columns=list(schema.columns))
    nullable = {name for name, column in schema.columns.items() if str(column.dtype) == "Int64"}
    untyped = nullable if rows else frame.columns
    return schema.validate(frame.astype({name: str(schema.columns[name].dtype) for name in untyped}))


def write(frame: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> None:
    """Write a table that fits its schema as CSV, atomically, and its checksum next to it."""
    with replacing(path) as temporary:
        schema.validate(frame).to_csv(temporary, index=False, float_format="%.10g")
    write_sum(path)


def read(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a table; UserError if it is missing, was changed, or does not fit its schema.

    Columns of ADDED that the table's version did not have are filled in.
    """
    types = {name: str(column.dtype) for name, column in schema.columns.items()}
    try:
        check_sum(path)
        frame = pd.read_csv(path, dtype=types)
        later = {name: value for name, value in ADDED.items() if name in types and name not in frame}
        frame = frame.assign(**later).astype({name: types[name] for name in later})
        return schema.validate(frame)
    except (OSError, ValueError, pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        raise UserError(f"table {path} cannot be used: {' '.join(str(error).split())[:300]}") from None


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """The same rows with two more columns; a missing depth becomes 0.

    label  model and depth, as in plain-6
    panel  what one panel of a figure compares: the label, with the data set if the model was trained on several, and
           the plan if it is not uniform
    """
    depths = runs["depth"].fillna(0).astype(int)
    label = runs["model"] + depths.map(lambda depth: f"-{depth}" if depth else "")
    several = runs["dataset"].groupby(label).transform("nunique") > 1
    where = runs["dataset"].where(several, "") + ", " + runs["plan"].where(runs["plan"] != "uniform", "")
    where = where.str.strip(", ")
    panel = label + where.map(lambda text: f" ({text})" if text else "")
    return runs.assign(label=label, panel=panel, depth=depths)


def panels_of(suite: Suite, rows: pd.DataFrame, least: int = 1) -> list[str]:
    """Panels (`labelled`) that were run at ``least`` ratios or more, in the suite's order of models."""
    counts = rows.groupby("panel")["ratio"].nunique()
    order = {model.label: index for index, model in enumerate(suite.models)}
    wide = (str(panel) for panel in counts[counts >= least].index)
    return sorted(wide, key=lambda panel: (order[panel.partition(" ")[0]], panel))
