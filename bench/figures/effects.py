"""Effects on the final accuracy, in a factorial suite."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 6
LEAST_SHARE = 0.5
"""Per cent; interactions that explain less in every panel are added to the rest."""


def draw(results: Results) -> Drawing:
    """Above, shares of variance; below, what each level adds; one column per model."""
    effects = results.effects
    if effects.empty:
        return None
    panels = list(dict.fromkeys(effects["panel"]))
    shares, levels = (effects[effects["kind"] == kind] for kind in ("share", "level"))
    peaks = shares.groupby("term", sort=False)["value"].max()
    terms = [term for term in peaks.index if " x " not in term or peaks[term] >= LEAST_SHARE]
    rows = list(dict.fromkeys(zip(levels["term"], levels["level"], strict=True)))
    figure, axes = style.grid(2, len(panels), 0.11 * (len(terms) + len(rows)) + 0.6, sharex="row", sharey="row",
                              height_ratios=(len(terms), len(rows)))  # fmt: skip
    for column, panel in enumerate(panels):
        top, bottom = axes[0][column], axes[1][column]
        part = shares[shares["panel"] == panel].set_index("term").loc[terms]
        colours = ["#777777" if " x " in term or term == "rest" else "#0072B2" for term in terms]
        _intervals(top, part, range(len(terms)), colours)
        top.set_yticks(range(len(terms)), [term.replace(" x ", " × ") for term in terms], fontsize=7)
        top.set_title(style.title(panel))
        top.set_xlabel("share of variance (%)")
        top.set_xlim(0, 1.05 * shares["ci_high"].max())
        part = levels[levels["panel"] == panel].set_index(["term", "level"]).loc[rows]
        factors = list(dict.fromkeys(term for term, _ in rows))
        _intervals(bottom, part, range(len(rows)), [style.COLOURS[factors.index(term) % 9] for term, _ in rows])
        bottom.set_yticks(range(len(rows)), [f"{term}: {_named(term, level)}" for term, level in rows], fontsize=7)
        bottom.axvline(0, color="black", linewidth=0.8)
        bottom.set_xlabel("points of top-1")
    for first in axes[:, 0]:
        first.invert_yaxis()
    return figure, (
        "What final accuracy is due to. Above: per cent of the variance within a seed that each factor explains by "
        "itself, that two explain jointly beyond that (×), and the rest; interactions below "
        f"{LEAST_SHARE:g} % everywhere are not shown. Below: what each level adds to the mean of all. Means over "
        "seeds with 95 % bootstrap-t intervals."
    )


def _named(term: str, level: str) -> str:
    return style.RECONSTRUCTIONS[level] if term == "reconstruction" else level


def _intervals(axes: Axes, part: pd.DataFrame, places: Sequence[int], colours: Sequence[str]) -> None:
    spread = np.array([part["value"] - part["ci_low"], part["ci_high"] - part["value"]]).clip(0)
    for index, place in enumerate(places):
        axes.errorbar(
            part["value"].iloc[index], place, xerr=spread[:, index : index + 1], fmt="o", color=colours[index],
            ms=4, lw=1.3,
        )  # fmt: skip
