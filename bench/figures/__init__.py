"""Figures, one file each: a module with ``draw(results) -> (figure, caption) | None`` and its NUMBER in the report.

They are drawn from the tables alone, as PDF for print and PNG for screens. None means that the suite has nothing to
show in that figure.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bench.figures import _style
from bench.figures._results import Results
from bench.files import write_sealed
from bench.suite import plugins
from nisp.errors import UserError
from nisp.whole_files import replacing

FIGURES = ("bench/figures",)


def draw_all(results: Results, folder: Path) -> None:
    """Draw every figure into ``folder``; ``captions.json`` lists their captions in the order of the report."""
    _style.apply()
    modules = [plugins.load(FIGURES, name) for name in plugins.available(FIGURES)]
    captions = {}
    for module in sorted(modules, key=lambda module: module.NUMBER):
        drawn = module.draw(results)
        if drawn is None:
            continue
        figure, caption = drawn
        name = module.__name__.rsplit(".", 1)[-1]
        for suffix in ("pdf", "png"):
            with replacing(folder / f"{name}.{suffix}") as temporary:
                # No dates inside, so that the same tables give the same files.
                metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
                figure.savefig(temporary, format=suffix, metadata=metadata)
            figure.set_layout_engine("none")  # laid out once, for both
        plt.close(figure)
        captions[name] = caption
    if not captions:
        raise UserError(f"suite {results.suite.suite} has no runs that a figure could show")
    write_sealed(folder / "captions.json", captions)
