"""Where results lie, which records count, and which marks of finished jobs are deleted."""

import json
from itertools import product

import pytest

from bench.files import read_sealed
from bench.runs.records import Store, load_record, records_of, save_record
from bench.suite.schema import Suite
from nisp.errors import UserError

SUITE = Suite(
    suite="t",
    title="T",
    datasets=[{"name": "digits"}, {"name": "mnist"}],
    training={"default": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
    finetune={"epochs": 1},
    methods={name: {"criterion": name} for name in ("nisp", "random")},
    plans={"macs": {"budget": "macs"}},
    experiments=[
        {
            "name": "e", "models": [{"name": "lenet"}, {"name": "plain", "depth": 4}], "seeds": [0, 1],
            "plans": ["uniform", "macs"], "ratios": [0.25, 0.5], "methods": ["nisp", "random"],
        }
    ],
    bundle=["method"],
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    """All records and the marks of all jobs."""
    store = Store(tmp_path)
    for index, run in enumerate(SUITE.runs):
        save_record(store.record_of(run), SUITE.run_digest(run), {"row": {"number": index}}, {"commit": "c"})
    for job in SUITE.prune_jobs:
        store.mark_of(job).parent.mkdir(parents=True, exist_ok=True)
        store.mark_of(job).write_text("done")
    return store


def marks(store):
    return {job for job in SUITE.prune_jobs if store.mark_of(job).exists()}


def test_everything_has_a_place_of_its_own(tmp_path):
    store = Store(tmp_path)
    places = [store.record_of(run) for run in SUITE.runs] + [store.mark_of(job) for job in SUITE.prune_jobs]
    places += [store.base(*cell) for cell in product(("digits", "mnist"), ("lenet", "plain-4"), (0, 1))]
    places += [store.data("digits"), store.data("mnist")]
    assert len(set(places)) == len(places) == 64 + 32 + 8 + 2
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert store.record_of(SUITE.runs[-1]) == tmp_path / "records/mnist/plain-4/1/random/macs@0.5.json"
    assert store.mark_of(("digits", "lenet", "0", "all", "0.5")) == tmp_path / "batches/digits/lenet/0/all/0.5.json"
    assert store.base("digits", "lenet", 1) == tmp_path / "bases/digits/lenet/1.safetensors"
    assert store.data("digits") == tmp_path / "data/digits.safetensors"


def test_the_record_of_each_run_is_found(store):
    found = records_of(SUITE, store, SUITE.runs)
    assert list(found) == list(SUITE.runs)
    assert [record["row"]["number"] for record in found.values()] == list(range(len(SUITE.runs)))
    assert all(record["origin"] == {"commit": "c"} for record in found.values())
    assert list(records_of(SUITE, store, SUITE.runs[3:5])) == list(SUITE.runs[3:5])
    assert marks(store) == set(SUITE.prune_jobs) and records_of(SUITE, store, []) == {}


def test_of_what_is_lost_the_marks_go_and_no_others(store):
    """One record missing, one damaged, one of other settings: of two jobs, for two of them are in the same."""
    missing, damaged, old = (SUITE.runs[index] for index in (5, 7, 40))
    assert SUITE.job_of(missing) == SUITE.job_of(SUITE.runs[1]) != SUITE.job_of(damaged)
    assert len({SUITE.job_of(run) for run in (missing, damaged, old)}) == 3
    store.record_of(missing).unlink()
    file = store.record_of(damaged)
    file.write_text(file.read_text().replace('"number": 7', '"number": 8'))
    save_record(store.record_of(old), "another", {"row": {"number": 40}}, {"commit": "c"})
    others = set(SUITE.prune_jobs) - {SUITE.job_of(run) for run in (missing, damaged, old)}
    reason = "missing, damaged or made with other settings"
    told = f"^3 of 64 records are {reason}, the first is {store.record_of(missing)}:"
    with pytest.raises(UserError, match=told):
        records_of(SUITE, store, SUITE.runs)
    assert marks(store) == others
    with pytest.raises(UserError, match=r"^1 of 2 records"):
        records_of(SUITE, store, [SUITE.runs[0], damaged])
    assert marks(store) == others, "a mark that is gone already is no mistake"


def test_a_record_counts_under_its_digest_alone_and_as_long_as_nothing_changes(tmp_path):
    file = tmp_path / "r.json"
    save_record(file, "abc", {"row": {"x": 1.5}, "curve": []}, {"commit": "c"})
    whole = {"digest": "abc", "row": {"x": 1.5}, "curve": [], "origin": {"commit": "c"}}
    assert load_record(file, "abc") == read_sealed(file) == whole
    assert load_record(file, "abd") is None and load_record(tmp_path / "none.json", "abc") is None
    content = json.loads(file.read_text())
    for change in ({"row": {"x": 1.6}}, {"sha256": "0" * 64}, {"more": 1}):
        file.write_text(json.dumps(content | change))
        assert load_record(file, "abc") is None
    file.write_text(json.dumps({name: value for name, value in content.items() if name != "sha256"}))
    with pytest.raises(UserError, match=r"r\.json is missing or damaged"):
        read_sealed(file)
