"""A paper's table of costs next to ours: what its pruned networks save when they are built and pruned here."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
import torch
from torch import nn

from bench.answers.tables import framed
from bench.runs.size import size_of
from bench.runs.variants import Variant, variant_plan
from bench.suite import plugins
from nisp.pruning.surgery import anatomy, remove_channels

_reduction = pa.Column(float, pa.Check.in_range(0, 100))
COSTS = pa.DataFrameSchema(
    {
        "variant": pa.Column(str, unique=True),
        "flops_reduction": _reduction,
        "flops_reduction_paper": _reduction,
        "params_reduction": _reduction,
        "params_reduction_paper": _reduction,
    },
    strict=True,
    ordered=True,
)
"""Per cent of the unpruned network; FLOPs are multiply-accumulates as ptflops counts them."""

_HEAD = ["variant", "FLOPs, %", "paper", "difference", "parameters, %", "paper", "difference"]


def table1_costs(variants: Iterable[Variant]) -> pd.DataFrame:
    """One row per variant: its network with random weights, pruned by surgery and measured."""
    return framed([costs_row(variant) for variant in variants], COSTS)


def costs_row(variant: Variant) -> tuple[str, float, float, float, float]:
    """The columns of ``COSTS``. Which channels stay does not change the cost, so the first ones do."""
    model, example = network(variant)
    structure = anatomy(model, example)
    plan = variant_plan(structure.groups, variant)
    pruned = remove_channels(model, structure, {name: torch.arange(keep) for name, keep in plan.items()})
    before = size_of(model, example)
    after = size_of(pruned, example, before.counter)
    flops, params = 100 * (1 - after.macs / before.macs), 100 * (1 - after.params / before.params)
    return variant.name, flops, variant.paper.flops_reduction, params, variant.paper.params_reduction


def network(variant: Variant) -> tuple[nn.Module, torch.Tensor]:
    """The unpruned network with random weights in eval mode, and one image of its input size."""
    build = plugins.load(plugins.MODELS, variant.model.name).build
    model = build(variant.model.depth, 3, variant.image_size, variant.classes).eval()
    return model, torch.zeros(1, 3, variant.image_size, variant.image_size)


def as_markdown(costs: pd.DataFrame) -> str:
    """The table with the difference, ours minus the paper's, in percentage points."""
    lines = ["| " + " | ".join(row) + " |" for row in _text(costs)]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(_HEAD) - 1), *lines[1:]]) + "\n"


def as_latex(costs: pd.DataFrame) -> str:
    """The table as a LaTeX tabular for the package booktabs."""
    rows = [[row[0], *(cell.replace("-", "$-$").replace("+", "$+$") for cell in row[1:])] for row in _text(costs)]
    head, *body = (" & ".join(row).replace("%", r"\%") + r" \\" for row in rows)
    begin, end = rf"\begin{{tabular}}{{l{'r' * (len(_HEAD) - 1)}}}", r"\end{tabular}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", end]) + "\n"


def as_text(costs: pd.DataFrame) -> str:
    """The table in aligned columns, for a terminal."""
    rows = _text(costs)
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]) + "\n"
        for row in rows
    )


def _text(costs: pd.DataFrame) -> list[list[str]]:
    """Head and rows as they are printed."""
    rows = [_HEAD]
    for variant, flops, flops_paper, params, params_paper in costs.itertuples(index=False):
        cells = [variant]
        for ours, theirs in ((flops, flops_paper), (params, params_paper)):
            cells += [f"{ours:.2f}", f"{theirs:.2f}", f"{ours - theirs:+.2f}"]
        rows.append(cells)
    return rows
