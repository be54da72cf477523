"""Figures, one file each: a module with ``draw(suite, runs, curves, verdicts) -> (figure, caption) | None``.

They are drawn from the tables alone, in the order of their file names' NUMBER, as PDF for print and PNG for screens.
None means that the suite has nothing to show in that figure.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from bench import plugins
from bench.config import Suite
from bench.errors import UserError
from bench.figures import _style
from bench.files import replacing
from bench.tables import labelled

FIGURES = ("bench/figures",)


def draw_all(
    suite: Suite, runs: pd.DataFrame, curves: pd.DataFrame, verdicts: pd.DataFrame, folder: Path
) -> dict[str, str]:
    """Draw every figure into ``folder``; returns name -> caption, in the order of the report."""
    _style.apply()
    modules = [plugins.load(FIGURES, name) for name in plugins.available(FIGURES)]
    captions = {}
    for module in sorted(modules, key=lambda module: module.NUMBER):
        drawn = module.draw(suite, labelled(runs), labelled(curves), verdicts)
        if drawn is None:
            continue
        figure, caption = drawn
        name = module.__name__.rsplit(".", 1)[-1]
        for suffix in ("pdf", "png"):
            with replacing(folder / f"{name}.{suffix}") as temporary:
                # No dates inside, so that the same tables give the same files.
                metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
                figure.savefig(temporary, format=suffix, metadata=metadata)
        plt.close(figure)
        captions[name] = caption
    if not captions:
        raise UserError(f"suite {suite.suite} has no runs that a figure could show")
    return captions
