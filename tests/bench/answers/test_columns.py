"""What the columns of each table accept."""

import numpy as np
import pandera.pandas as pa
import pytest

from bench.answers.effects import EFFECTS
from bench.answers.stability import STABILITY
from bench.answers.tables import CURVES, REFITS, RUNS, VERDICTS, framed
from tests.bench.answers.test_tables import ANSWER, LATENCY, ROW

WHOLE = dict.fromkeys(RUNS.columns, 1) | {
    "suite": "t", "dataset": "digits", "model": "lenet", "method": "nisp", "criterion": "nisp", "recovery": "none",
    "reconstruction": "none", "plan": "uniform", "ratio": 0.5, "depth": None,
    **dict.fromkeys((*LATENCY, *ROW), 1.0), **dict.fromkeys(("macs_base", "macs", "params_base", "params"), 1),
    "removal_error": 0.0, "macs_counter": "ptflops",
}  # fmt: skip
EPOCH = {name: WHOLE[name] for name in CURVES.columns if name in WHOLE} | {
    "epoch": 0, "train_loss": 1.0, "test_loss": 1.0, "test_top1": 1.0, "learning_rate": 1.0, "seconds": 1.0,
}  # fmt: skip
REFIT = {name: WHOLE[name] for name in REFITS.columns if name in WHOLE} | {
    "layer": "a", "ridge": 1.0, "error": 1.0, "error_before": 1.0, "validation_error": 1.0
}  # fmt: skip
EFFECT = dict(zip(EFFECTS.columns, ("e", "lenet", "share", "ratio", "all", 2, 1.0, 0.0, 2.0), strict=True))
TAU = dict(zip(STABILITY.columns, ("ratios", "x", 3, 1, 0.5, 0.5), strict=True))
PER_CENT = ({0.0, 100.0}, {-0.5, 100.5, np.nan})
PER_CENT_OR_NONE = ({0.0, 100.0, np.nan}, {-0.5, 100.5})
BOUNDS = [
    *[(RUNS, WHOLE, f"top1_{name}", *PER_CENT) for name in ("base", "pruned", "recalibrated", "final")],
    *[(RUNS, WHOLE, name, *PER_CENT) for name in ("val_top1_final", "agreement_top1")],
    *[(RUNS, WHOLE, name, *PER_CENT_OR_NONE) for name in ("top5_base", "top5_final", "agreement_top5")],
    *[(RUNS, WHOLE, name, {1, 10**12}, {0, -1}) for name in ("macs_base", "macs", "params_base", "params")],
    *[(RUNS, WHOLE, name, {1e-3, 1e6}, {0.0, -1.0, np.nan}) for name in LATENCY],
    (RUNS, WHOLE, "latency_large_batch", {1}, {0}),
    (RUNS, WHOLE, "seed", {0}, {-1}),
    (RUNS, WHOLE, "steps", {1}, {0}),
    (RUNS, WHOLE, "ratio", {1e-4, 0.9999}, {0.0, 1.0}),
    (RUNS, WHOLE, "score_seconds", {0.0}, {-0.1, np.nan}),
    (RUNS, WHOLE, "ware", {0.0, 5.0, np.nan}, {-0.1}),
    (RUNS, WHOLE, "removal_error", {0.0, 1e-9}, {1.1e-9, -1e-12, np.nan}),
    (RUNS, WHOLE, "learning_rate_factor", {0.01, np.nan}, {0.0}),
    (RUNS, WHOLE, "macs_counter", {"ptflops", "torch"}, {"other"}),
    *[(RUNS, WHOLE, name, {0, 10**12, None}, {-1}) for name in ("macs_torch_base", "macs_torch")],
    (RUNS, WHOLE, "reconstruction", {"none", "least_squares", "mean"}, {"other"}),
    (CURVES, EPOCH, "epoch", {0}, {-1}),
    (CURVES, EPOCH, "test_top1", *PER_CENT),
    (CURVES, EPOCH, "train_loss", {1.0, np.nan}, set()),
    (CURVES, EPOCH, "test_loss", {0.5}, {np.nan}),
    (CURVES, EPOCH, "learning_rate", {0.0}, {-0.1}),
    (CURVES, EPOCH, "seconds", {0.0}, {-0.1}),
    (REFITS, REFIT, "ridge", {1e-9}, {0.0}),
    *[(REFITS, REFIT, name, {0.0}, {-0.1}) for name in ("error", "error_before", "validation_error")],
    (VERDICTS, ANSWER, "n_seeds", {2}, {1}),
    (VERDICTS, ANSWER, "p_value", {0.0, 1.0}, {-0.01, 1.01, np.nan}),
    (VERDICTS, ANSWER, "verdict", {"contradicted", "equivalent", "open"}, {"inconclusive"}),
    (VERDICTS, ANSWER, "margin", {0.01}, {0.0, np.nan}),
    (VERDICTS, ANSWER, "seeds_needed", {3, 1000, None}, {2}),
    (EFFECTS, EFFECT, "n_seeds", {2}, {1}),
    (EFFECTS, EFFECT, "kind", {"share", "level"}, {"other"}),
    (STABILITY, TAU, "tau_mean", {-1.0, 1.0}, {-1.01, 1.01}),
    (STABILITY, TAU, "tau_low", {-1.0, 1.0}, {-1.01, 1.01}),
    (STABILITY, TAU, "between", {"seeds", "models", "schedules"}, {"plans"}),
]


@pytest.mark.parametrize(
    ("schema", "row", "column", "good", "bad"), BOUNDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_column_takes_its_values_to_the_bound_and_no_others(schema, row, column, good, bad):
    framed([row], schema)
    for value in good:
        framed([row | {column: value}], schema)
    for value in bad:
        with pytest.raises(pa.errors.SchemaError):
            framed([row | {column: value}], schema)


ROWS = [(RUNS, WHOLE), (CURVES, EPOCH), (REFITS, REFIT), (VERDICTS, ANSWER), (EFFECTS, EFFECT), (STABILITY, TAU)]


@pytest.mark.parametrize(("schema", "row"), ROWS)
def test_columns_are_all_there_in_their_order_and_no_others(schema, row):
    frame = framed([row], schema)
    for other in (frame.assign(more=1), frame[frame.columns[::-1]], frame.drop(columns=frame.columns[-1])):
        with pytest.raises((pa.errors.SchemaError, pa.errors.SchemaErrors)):
            schema.validate(other)


def test_no_run_is_there_twice():
    for column in ("dataset", "model", "method", "plan"):
        framed([WHOLE, WHOLE | {column: "other"}], RUNS)
    framed([WHOLE, WHOLE | {"seed": 2}, WHOLE | {"ratio": 0.25}, WHOLE | {"depth": 4}], RUNS)
    with pytest.raises(pa.errors.SchemaError):
        framed([WHOLE, WHOLE | {"top1_final": 2.0}], RUNS)


def test_no_comparison_is_there_twice():
    for column in ("question", "comparison", "setting"):
        framed([ANSWER, ANSWER | {column: "other"}], VERDICTS)
    with pytest.raises(pa.errors.SchemaError):
        framed([ANSWER, ANSWER | {"difference": 2.0}], VERDICTS)
