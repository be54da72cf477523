"""The tables of a coverage run, and their summary."""

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.files import write_text
from benchmarks.coverage.zoo import SOURCES

COLUMNS = (
    "model", "source", "params_m", "scored", "pruned", "forward", "max_error", "seconds", "failure", "torch_pruning",
    "onnx",
)  # fmt: skip
PEER_COLUMNS = ("model", "source", "params_m", "torch_pruning", "failure")
PASSES = ("scored", "pruned", "forward", "onnx")
GOAL_M = 100
EXACT = 1e-9
Row = Mapping[str, Any]


def write(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """A CSV file of ``columns``; true and false in small letters, numbers with four digits, unknown values empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = tuple(columns)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.4g}"
    return str(value)


def summary(rows: list[Row]) -> str:
    """Networks of each source up to 100 M parameters that passed, ours next to torch-pruning's."""
    layout = "{:<24}{:>9}{:>8}{:>8}{:>9}{:>7}{:>7}{:>15}"
    lines = [layout.format("up to 100 M parameters", "networks", *PASSES, "exact", "torch-pruning")]
    for source in SOURCES:
        mine = [row for row in rows if row["source"] == source and row["params_m"] <= GOAL_M]
        if not mine:
            continue
        passes = [sum(bool(row.get(column)) for row in mine) for column in PASSES]
        exact = sum(row.get("max_error") is not None and row["max_error"] < EXACT for row in mine)
        peer = sum(bool(row.get("torch_pruning")) for row in mine)
        lines.append(layout.format(source, len(mine), *passes, exact, peer))
    for who, column in (("ours", "params_left"), ("torch-pruning's", "peer_params_left")):
        left = [row[column] for row in rows if row.get(column) is not None]
        if left:
            lines.append(f"parameters left in {who}: median {100 * statistics.median(left):.0f} %")
    lines.append(
        f"exact: removal differs from silencing the same channels by less than {EXACT:g} of the largest output"
    )
    return "\n".join(lines)


def upstream(rows: list[Row]) -> str:
    """How many networks torch-pruning pruned of those it ran on, and its failures, one row per error, in Markdown."""
    passes = [row["torch_pruning"] for row in rows if row.get("torch_pruning") is not None]
    failures: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.get("torch_pruning") is False:
            failures[row["failure"]].append(f"{row['model']} ({row['source']})")
    lines = [f"{sum(passes)} of {len(passes)} networks passed.", "", "| step: error | networks |", "|---|---|"]
    for failure, models in sorted(failures.items(), key=lambda item: (-len(item[1]), item[0])):
        error = failure.replace("|", "\\|").replace("`", "'")
        lines.append(f"| `{error}` | {len(models)}: {', '.join(models)} |")
    return "\n".join(lines)
