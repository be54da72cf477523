"""The tables of a suite: their columns, and how they are put together from the records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from bench.errors import UserError
from bench.files import check_sum, replacing, write_sum
from bench.suite import Suite

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

RUNS = pa.DataFrameSchema(
    {
        **_KEY,
        "criterion": pa.Column(str),
        "reconstruction": pa.Column(str, pa.Check.isin(["none", "least_squares"])),
        "recovery": pa.Column(str),
        "ratio": pa.Column(float, pa.Check.in_range(0, 1, include_min=False, include_max=False)),
        **{
            name: pa.Column(float, _per_cent)
            for name in ("top1_base", "top1_pruned", "top1_recalibrated", "top1_final")
        },
        # Not in tables of older versions; empty where there are no more than five classes.
        **{name: pa.Column(float, _per_cent, nullable=True, required=False) for name in ("top5_base", "top5_final")},
        **{name: pa.Column(int, _positive) for name in ("macs_base", "macs", "params_base", "params")},
        **{name: pa.Column(float, _positive) for name in ("latency_base_ms", "latency_ms")},
        **{name: pa.Column(float, _positive) for name in ("latency_large_base_ms", "latency_large_ms")},
        "latency_large_batch": pa.Column(int, _positive),
        "score_seconds": pa.Column(float, pa.Check.ge(0)),
        "ware": pa.Column(float, pa.Check.ge(0), nullable=True),
        "agreement_top1": pa.Column(float, _per_cent),
        "removal_error": pa.Column(float, pa.Check.in_range(0, 1e-9)),
        "val_top1_final": pa.Column(float, _per_cent),
    },
    strict=True,
    ordered=True,
    unique=["dataset", "model", "depth", "seed", "method", "ratio"],
)

CURVES = pa.DataFrameSchema(
    {
        **_KEY,
        "ratio": pa.Column(float),
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
        "verdict": pa.Column(str, pa.Check.isin(["supported", "contradicted", "inconclusive"])),
    },
    strict=True,
    ordered=True,
)


def collected(
    suite: Suite, records: dict[Any, dict[str, Any]], latencies: list[dict[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """runs and curves from each run's record and the latencies."""
    measured = {(row["dataset"], row["label"], row["ratio"]): row for row in latencies}
    rows, epochs = [], []
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
        composition = {part: getattr(method, part) for part in ("criterion", "reconstruction", "recovery")}
        latency = measured[run.dataset, run.model.label, run.ratio]
        rows.append({**key, **composition, "ratio": run.ratio, **record["row"], **latency})
        epochs += [{**key, "ratio": run.ratio, **epoch} for epoch in record["curve"]]
    return framed(rows, RUNS), framed(epochs, CURVES)


def framed(rows: Sequence[Any], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The rows (mappings, or tuples in the schema's order; none is fine too) as a table that fits the schema."""
    frame = pd.DataFrame(rows, columns=list(schema.columns))
    untyped = {"depth"} & set(frame.columns) if rows else frame.columns
    return schema.validate(frame.astype({name: str(schema.columns[name].dtype) for name in untyped}))


def write(frame: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> None:
    """Write a table that fits its schema as CSV, atomically, and its checksum beside it."""
    with replacing(path) as temporary:
        schema.validate(frame).to_csv(temporary, index=False, float_format="%.10g")
    write_sum(path)


def read(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a table; UserError if it is missing, is not what was written, or does not fit its schema."""
    types = {name: str(column.dtype) for name, column in schema.columns.items()}
    try:
        check_sum(path)
        frame = pd.read_csv(path, dtype=types)
        return schema.validate(frame)
    except (OSError, ValueError, pa.errors.SchemaError) as error:
        raise UserError(f"table {path} cannot be used: {' '.join(str(error).split())[:300]}") from None


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """The same rows with the column ``label``, model and depth in one word as in suite files; no depth becomes 0."""
    depths = runs["depth"].fillna(0).astype(int)
    suffix = depths.map(lambda depth: f"-{depth}" if depth else "")
    return runs.assign(label=runs["model"] + suffix, depth=depths)
