"""Figures of the most crowded reference run: nothing is cut off at their edges."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from bench.answers import tables
from bench.answers.effects import EFFECTS
from bench.figures import FIGURES, _style, verdict_forest
from bench.figures._results import Results
from bench.suite import plugins
from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[3]
TABLES = ROOT / "results/reference/factorial/tables"


@pytest.fixture(scope="module")
def results():
    runs, curves = (tables.read(TABLES / f"{name}.csv", getattr(tables, name.upper())) for name in ("runs", "curves"))
    return Results(
        suite=load_suite(ROOT / "config/suites/factorial.yaml"),
        runs=tables.labelled(runs),
        curves=tables.labelled(curves),
        verdicts=tables.read(TABLES / "verdicts.csv", tables.VERDICTS),
        effects=tables.read(TABLES / "effects.csv", EFFECTS),
    )


@pytest.mark.parametrize("name", plugins.available(FIGURES))
def test_nothing_is_cut_off(results, name):
    _style.apply()
    drawn = plugins.load(FIGURES, name).draw(results)
    if drawn is None:
        pytest.skip("the suite has nothing to show in it")
    figure, caption = drawn
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    plt.close(figure)
    slack = 0.02  # inches
    assert box.x0 >= -slack and box.y0 >= -slack and box.x1 <= width + slack and box.y1 <= height + slack
    assert caption.endswith(".")


@pytest.mark.parametrize(("labels", "columns"), [(3, 3), (24, 2)])
def test_a_legend_has_the_columns_that_fit(labels, columns):
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for number in range(labels):
        axes.plot([0, 1], label=f"x {number}" if labels == 3 else f"criterion+least_squares+recovery {number}")
    _style.legend(figure, [axes], 3)
    [legend] = figure.legends
    assert legend._ncols == columns and legend.get_window_extent().width <= figure.bbox.width
    plt.close(figure)


def test_reconstructions_have_markers_stages_and_names_of_their_own(results):
    """The reference run as if least squares had been mean compensation, and the other way round."""
    methods = results.suite.methods
    looks = {kind: _look_of(results.suite, kind) for kind in _style.RECONSTRUCTIONS}
    assert "markerfacecolor" not in looks["none"] and "fillstyle" not in looks["none"]
    assert looks["least_squares"]["markerfacecolor"] == "white" and looks["mean"]["fillstyle"] == "left"
    assert {spec.reconstruction for spec in methods.values()} == {"none", "least_squares"}
    runs, effects = (frame.replace("least_squares", "mean") for frame in (results.runs, results.effects))
    figure, _ = plugins.load(FIGURES, "accuracy_vs_ratio").draw(replace(results, runs=runs))
    stages = [axes.get_ylabel().partition("\n")[0] for axes in figure.axes if axes.get_ylabel()]
    assert stages == ["after pruning", "after recalibration", "with mean compensation", "after recovery"]
    figure, _ = plugins.load(FIGURES, "effects").draw(replace(results, effects=effects))
    labels = {label.get_text() for axes in figure.axes for label in axes.get_yticklabels()}
    assert {"reconstruction: none", "reconstruction: mean compensation"} <= labels
    plt.close("all")


def _look_of(suite, reconstruction):
    method = next(iter(suite.methods))
    changed = suite.methods[method].model_copy(update={"reconstruction": reconstruction})
    return _style.look(SimpleNamespace(methods={**suite.methods, method: changed}), method)


def test_verdicts_are_told_apart_by_marker_and_in_grey():
    looks = list(verdict_forest.LOOK.values())
    grey = [
        sum(weight * part for weight, part in zip((0.299, 0.587, 0.114), to_rgb(look[0]), strict=True))
        for look in looks
    ]
    assert set(verdict_forest.LOOK) == set(tables.KINDS) and len({look[1] for look in looks}) == len(looks)
    assert all(lighter - darker > 0.1 for darker, lighter in pairwise(grey))


def test_rows_over_all_settings_are_bold_and_on_top_of_their_settings(results):
    figure, _ = verdict_forest.draw(results)
    for axes, question in zip(figure.axes, results.suite.questions, strict=True):
        labels = [(label.get_text(), label.get_fontweight()) for label in axes.get_yticklabels()]
        assert {weight for text, weight in labels if text.endswith("overall")} == {"bold"}
        assert {weight for text, weight in labels if not text.endswith("overall")} <= {"normal"}
        assert labels[-1][0] == f"{question.against[0]}  ·  overall", "the first row is drawn at the top"
    plt.close(figure)
