"""How tables are put together from records, and what they accept."""

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from bench.answers.effects import EFFECTS
from bench.answers.stability import STABILITY
from bench.answers.tables import CURVES, REFITS, RUNS, VERDICTS, collected, framed, labelled, panels_of, read, write
from bench.suite.schema import Suite
from nisp.errors import UserError

SUITE = Suite(
    suite="t",
    title="T",
    datasets=[{"name": "digits"}, {"name": "mnist"}],
    training={"default": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
    finetune={"epochs": 4},
    methods={
        "nisp": {"criterion": "nisp", "recovery": "recalibrate"},
        "random+ls": {"criterion": "random", "reconstruction": "least_squares", "recovery": "finetune", "steps": 2},
    },
    plans={"own": {"budget": "macs", "allocation": "scores"}, "macs": {"budget": "macs"}},
    experiments=[
        {
            "name": "e", "models": [{"name": "plain", "depth": 4}, {"name": "lenet"}], "seeds": [0, 1],
            "plans": ["uniform", "own", "macs"], "ratios": [0.25, 0.5], "methods": ["nisp", "random+ls"],
        }
    ],
)  # fmt: skip
ROW = {
    **dict.fromkeys(("top1_base", "top1_pruned", "top1_recalibrated", "top1_final", "val_top1_final"), 50.0),
    **dict.fromkeys(("top5_base", "top5_final", "agreement_top1", "agreement_top5"), 50.0),
    **dict.fromkeys(("macs_base", "macs", "params_base", "params"), 7),
    "score_seconds": 0.1, "ware": 0.2, "removal_error": 0.0, "learning_rate_factor": np.nan,
    "macs_counter": "ptflops", "macs_torch_base": 6, "macs_torch": 5,
}  # fmt: skip
LATENCY = ("latency_base_ms", "latency_ms", "latency_large_base_ms", "latency_large_ms")


def number(*parts):
    """A number of its own for each name or cell, the same in every process."""
    return (
        1.0 + sum((i + 1) * 1000**i * int.from_bytes(str(part).encode(), "big") for i, part in enumerate(parts)) % 9973
    )


def records():
    """Of each run, a row that tells it apart, one epoch for each seed and two layers that were solved again."""
    return {
        run: {
            "row": ROW | {"top1_final": index / 10, "macs": 1 + index},
            "curve": [
                {"epoch": e, "train_loss": np.nan if e == 0 else 1.5, "test_loss": 0.5, "test_top1": float(index % 100),
                 "learning_rate": 0.1, "seconds": 2.0}
                for e in range(run.seed + 1)
            ],
            "refits": [
                {"layer": layer, "ridge": 0.1, "error": float(index), "error_before": 2.0, "validation_error": 3.0}
                for layer in ("a", "b")
            ],
        }
        for index, run in enumerate(SUITE.runs)
    }  # fmt: skip


def latencies():
    """Rows of bench.runs.latency, not in the runs' order; only what is allocated by scores has method and seed."""
    rows = []
    for dataset in ("mnist", "digits"):
        for label in ("plain-4", "lenet"):
            for ratio in (0.5, 0.25):
                cells = [("uniform", {}), ("macs", {})]
                cells += [("own", {"method": m, "seed": s}) for m in ("random+ls", "nisp") for s in (1, 0)]
                for plan, own in cells:
                    cell = {"dataset": dataset, "label": label, "plan": plan, "ratio": ratio, **own}
                    times = {name: number(name, *cell.values()) for name in LATENCY}
                    rows.append(cell | times | {"latency_large_batch": 128})
    return rows


def test_each_run_is_one_row_of_its_record_its_method_and_its_latencies():
    runs, _, _ = collected(SUITE, records(), latencies())
    assert len(runs) == len(SUITE.runs) == 96
    for index, (run, row) in enumerate(zip(SUITE.runs, runs.to_dict("records"), strict=True)):
        assert (row["suite"], row["dataset"], row["model"], row["seed"]) == ("t", run.dataset, run.model.name, run.seed)
        assert pd.isna(row["depth"]) if run.model.name == "lenet" else row["depth"] == 4
        parts = (
            ("nisp", "none", "recalibrate", 1) if run.method == "nisp" else ("random", "least_squares", "finetune", 2)
        )
        assert tuple(row[name] for name in ("criterion", "reconstruction", "recovery", "steps")) == parts
        assert (row["method"], row["plan"], row["ratio"]) == (run.method, run.plan, run.ratio)
        assert row["top1_final"] == index / 10 and row["macs"] == 1 + index and np.isnan(row["learning_rate_factor"])
        own = (run.method, run.seed) if run.plan == "own" else ()
        for name in LATENCY:
            assert row[name] == number(name, run.dataset, run.model.label, run.plan, run.ratio, *own)


def test_the_numbers_that_tell_latencies_apart_do_so():
    times = [row[name] for row in latencies() for name in LATENCY]
    assert len(set(times)) > 0.95 * len(times)


def test_curves_and_refits_carry_the_key_of_their_run():
    _, curves, refits = collected(SUITE, records(), latencies())
    key = ["dataset", "model", "seed", "method", "plan", "ratio"]
    runs = [(r.dataset, r.model.name, r.seed, r.method, r.plan, r.ratio) for r in SUITE.runs]
    assert list(curves[key].itertuples(index=False, name=None)) == [run for run in runs for _ in range(run[2] + 1)]
    assert list(refits[key].itertuples(index=False, name=None)) == [run for run in runs for _ in range(2)]
    assert list(refits["error"]) == [float(index) for index in range(len(runs)) for _ in range(2)]
    assert list(refits["layer"]) == ["a", "b"] * len(runs) and set(curves["epoch"]) == {0, 1}
    assert curves.loc[curves["epoch"] == 0, "train_loss"].isna().all() and set(curves["suite"]) == {"t"}


def test_tables_without_rows_have_their_columns():
    for schema in (RUNS, CURVES, REFITS, VERDICTS, EFFECTS, STABILITY):
        assert list(framed([], schema).columns) == list(schema.columns)
    assert framed([("ratios", "x", 3, 2, 0.5, -0.5)], STABILITY).iloc[0]["tau_low"] == -0.5


ANSWER = dict(zip(VERDICTS.columns, ("Q", "a vs b", "lenet", 2, "m", 1.0, 0.0, 2.0, 0.5, 1.0, 3, "open"), strict=True))


def test_numbers_are_written_with_ten_digits_and_read_again(tmp_path):
    file = tmp_path / "verdicts.csv"
    write(framed([ANSWER | {"difference": 1 / 3, "p_value": 2e-4}], VERDICTS), VERDICTS, file)
    assert file.read_text().splitlines() == [
        "question,comparison,setting,n_seeds,metric,difference,ci_low,ci_high,p_value,margin,seeds_needed,verdict",
        "Q,a vs b,lenet,2,m,0.3333333333,0,2,0.0002,1,3,open",
    ]
    assert read(file, VERDICTS).loc[0, "difference"] == 0.3333333333
    with pytest.raises(pa.errors.SchemaError):
        write(framed([ANSWER], VERDICTS).assign(p_value=2.0), VERDICTS, tmp_path / "wrong.csv")
    file.write_text(file.read_text().replace("0.0002", "0.0001"))
    with pytest.raises(UserError, match=r"verdicts\.csv is damaged or was edited"):
        read(file, VERDICTS)
    (tmp_path / "verdicts.csv.sha256").unlink()
    assert read(file, VERDICTS).loc[0, "p_value"] == 0.0001
    with pytest.raises(UserError, match="cannot be used"):
        read(tmp_path / "none.csv", VERDICTS)


def test_a_table_with_a_column_too_many_or_in_another_place_is_reported(tmp_path):
    frame, file = framed([ANSWER], VERDICTS), tmp_path / "verdicts.csv"
    for other, told in (
        (frame.assign(more=1), "'more' not in"),
        (frame[frame.columns[::-1]], "out-of-order"),
        (frame.drop(columns="verdict"), "'verdict' not in"),
    ):
        other.to_csv(file, index=False)
        with pytest.raises(UserError, match=rf"verdicts\.csv cannot be used: .*{told}"):
            read(file, VERDICTS)


def test_labels_and_panels():
    """Data sets are named where a model was trained on several, plans where they are not uniform."""
    cells = [
        ("digits", "lenet", None, "uniform"), ("mnist", "lenet", None, "macs"), ("digits", "plain", 4, "uniform"),
        ("digits", "plain", 4, "macs"), ("mnist", "plain", 6, "uniform"),
    ]  # fmt: skip
    frame = pd.DataFrame(cells, columns=["dataset", "model", "depth", "plan"]).astype({"depth": "Int64"})
    result = labelled(frame)
    assert list(result["label"]) == ["lenet", "lenet", "plain-4", "plain-4", "plain-6"]
    assert list(result["panel"]) == ["lenet (digits)", "lenet (mnist, macs)", "plain-4", "plain-4 (macs)", "plain-6"]
    assert list(result["depth"]) == [0, 0, 4, 4, 6]


def test_panels_come_in_the_order_of_models_with_so_many_ratios_at_least():
    cells = [("plain-4", 0.5), ("plain-4 (macs)", 0.5), ("plain-4 (macs)", 0.25), ("lenet (mnist)", 0.5),
             ("lenet (digits)", 0.5), ("lenet (digits)", 0.25), ("lenet (digits)", 0.25)]  # fmt: skip
    rows = pd.DataFrame(cells, columns=["panel", "ratio"])
    assert panels_of(SUITE, rows) == ["plain-4", "plain-4 (macs)", "lenet (digits)", "lenet (mnist)"]
    assert panels_of(SUITE, rows, least=2) == ["plain-4 (macs)", "lenet (digits)"]
    assert panels_of(SUITE, rows, least=3) == []
