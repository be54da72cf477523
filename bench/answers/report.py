"""The report: one self-contained page that answers a suite's questions."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from bench.answers.comparisons import OVERALL
from bench.answers.sentences import Reductions, by_setting, headline, reductions
from bench.answers.tables import labelled, panels_of
from bench.answers.terminal import verdict_of
from bench.suite.plugins import ROOT
from bench.suite.questions import Question
from bench.suite.schema import Suite
from nisp import __version__


def page(
    suite: Suite,
    runs: pd.DataFrame,
    verdicts: pd.DataFrame,
    stability: pd.DataFrame,
    provenance: dict[str, Any],
    captions: dict[str, str],
    figures: Path,
) -> str:
    """HTML with embedded figures; opens offline."""
    template = Environment(
        loader=FileSystemLoader(ROOT / "workflow" / "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("report.html.j2")
    removed = reductions(runs)
    return template.render(
        spread=_spread,
        suite=suite,
        version=__version__,
        answers=[_answer(question, verdicts, removed) for question in suite.questions],
        accuracy=_accuracy(suite, labelled(runs)),
        sizes=_sizes(labelled(runs)),
        stability=stability.to_dict("records"),
        provenance=_flat(provenance),
        figures=[(name, caption, _embedded(figures / f"{name}.png")) for name, caption in captions.items()],
        methods=[(label, spec) for label, spec in suite.methods.items() if label in set(runs["method"])],
        recipes=[(model.label, suite.recipe(model), suite.finetuning(model)) for model in suite.models],
        counts={
            "runs": len(runs),
            "error": runs["removal_error"].max(),
            "models": [(m, len(g)) for m, g in labelled(runs).groupby("label")["seed"].unique().items()],
        },
    )


def _answer(question: Question, verdicts: pd.DataFrame, removed: Reductions) -> dict[str, Any]:
    """A question's rows, and what they say in two sentences."""
    rows = verdicts[verdicts["question"] == question.id]
    words = [verdict_of(row) for row in rows.itertuples()]
    by_row = rows.assign(words=words).to_dict("records")
    return {
        "question": question,
        "overall": [row for row in by_row if row["setting"] == OVERALL],
        "settings": [row for row in by_row if row["setting"] != OVERALL],
        "headline": headline(question, verdicts),
        "by_setting": by_setting(question, verdicts, removed),
    }


def _accuracy(suite: Suite, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean and standard deviation of the final accuracy by method and ratio, for each model."""
    cells = runs.groupby(["panel", "method", "ratio"])["top1_final"].agg(["mean", "std", "count"])
    tables = []
    for panel in panels_of(suite, runs):
        part = cells.loc[panel]
        ratios = sorted(part.index.get_level_values("ratio").unique())
        methods = [method for method in suite.methods if method in part.index.get_level_values("method")]
        body = [
            (method, [part.loc[(method, r)].to_dict() if (method, r) in part.index else None for r in ratios])
            for method in methods
        ]
        base = runs[runs["panel"] == panel].drop_duplicates("seed")["top1_base"]
        tables.append({"label": panel, "ratios": ratios, "body": body, "base": base.mean(), "base_std": base.std()})
    return tables


def _spread(mean: float, std: float) -> str:
    """Mean and standard deviation over seeds; only the mean for a single seed."""
    return f"{mean:.1f}" if std != std else f"{mean:.1f} ± {std:.1f}"


def _sizes(runs: pd.DataFrame) -> list[dict[str, Any]]:
    shapes = runs.drop_duplicates(["panel", "ratio", "macs"]).sort_values(["model", "depth", "panel", "ratio"])
    return shapes.to_dict("records")


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        for part in value if isinstance(value, list) else [value]:
            text = ", ".join(f"{k} {v}" for k, v in part.items()) if isinstance(part, dict) else str(part)
            rows.append((key.replace("_", " "), text))
    return rows


def _embedded(image: Path) -> str:
    return base64.b64encode(image.read_bytes()).decode()
