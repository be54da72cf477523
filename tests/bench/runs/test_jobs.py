"""Jobs: base networks are trained by their seeds, and each run leaves the record of just that run."""

import hashlib
import json
import math
from dataclasses import asdict

import pytest
import torch

from bench.data import Dataset, Split
from bench.runs import bases
from bench.runs import batches as batch
from bench.runs.base_network import prepared
from bench.runs.bases import recipe, stored_base, train_bases, untrained
from bench.runs.batches import method, protocol, run_batch, target
from bench.runs.experiment import run
from bench.runs.records import Store, load_record
from bench.runs.stored_tensors import load_weights, save_dataset
from bench.training.loop import train
from bench.training.streams import stream
from nisp import inf_fs
from nisp.errors import UserError
from tests.bench.runs.test_batches import LENET, PLAIN, suite
from tests.bench.training.test_loop import weights

SUITE = suite(
    experiment={"methods": ["one", "two"], "ratios": [0.25, 0.5], "models": [PLAIN, LENET]}, bundle=["seed", "method"]
)


@pytest.fixture(scope="module")
def few(digits):
    parts = (digits.train, digits.validation, digits.test)
    return Dataset("digits", *(Split(part.images[:120], part.labels[:120]) for part in parts), 10)


@pytest.fixture
def store(tmp_path, few):
    made = Store(tmp_path)
    save_dataset(made.data("digits"), few)
    return made


def base_weights(store, few, model, seed):
    net = untrained(model, few, 100)
    assert load_weights(store.base("digits", model.label, seed), net, SUITE.base_digest("digits", model, seed))
    return weights(net)


def trained(few, model, seed):
    """The base network, trained without a job; training leaves another memory layout than loading does."""
    net, loaded = untrained(model, few, seed), untrained(model, few, seed)
    train(net, few, recipe(SUITE, model), stream(seed, "training"))
    loaded.load_state_dict(net.state_dict())
    return loaded


def spied(monkeypatch, name):
    """The calls of a function of bench.runs, which is called all the same."""
    home = bases if name == "train" else batch
    calls, function = [], getattr(home, name)
    monkeypatch.setattr(home, name, lambda *args, **kwargs: calls.append((args, kwargs)) or function(*args, **kwargs))
    return calls


def test_each_base_network_starts_from_and_is_trained_by_its_own_seed(store, few):
    train_bases(SUITE, store, "digits", PLAIN, [1, 2])
    for seed in (1, 2):
        assert torch.equal(base_weights(store, few, PLAIN, seed), weights(trained(few, PLAIN, seed)))
    assert not torch.equal(*(base_weights(store, few, PLAIN, seed) for seed in (1, 2)))


def test_a_base_network_that_is_stored_is_not_trained_again(store, few, monkeypatch):
    train_bases(SUITE, store, "digits", PLAIN, [1])
    calls = spied(monkeypatch, "train")
    train_bases(SUITE, store, "digits", PLAIN, [1, 2])
    [(arguments, options)] = calls
    assert arguments[3] == stream(2, "training")
    folder, digest = store.base("digits", "plain-4", 2).parent, SUITE.base_digest("digits", PLAIN, 2)
    assert options == {"checkpoint": folder / f"2.{digest}.checkpoint"}
    store.base("digits", "plain-4", 1).write_bytes(b"broken")
    train_bases(SUITE, store, "digits", PLAIN, [1, 2])
    assert [arguments[3] for arguments, _ in calls] == [stream(seed, "training") for seed in (2, 1)]


@pytest.mark.parametrize("broken", [False, True])
def test_a_stored_base_is_loaded_and_trained_again_only_where_its_file_is_broken(store, few, monkeypatch, broken):
    train_bases(SUITE, store, "digits", PLAIN, [2])
    if broken:
        store.base("digits", "plain-4", 2).write_bytes(b"broken")
    calls = spied(monkeypatch, "train")
    base = prepared(stored_base(SUITE, store, few, PLAIN, 2), few, inf_fs)
    assert len(calls) == broken
    by_hand = prepared(trained(few, PLAIN, 2), few, inf_fs)
    assert torch.equal(weights(base.model), weights(by_hand.model))
    assert (base.top1, base.size) == (by_hand.top1, by_hand.size) and torch.equal(base.importance, by_hand.importance)


def comparable(measured):
    """Without seconds, and NaN as text."""
    row = {name: value for name, value in measured["row"].items() if name != "score_seconds"}
    curve = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in measured["curve"]]
    return repr((row, curve, measured["refits"], measured["keep"]))


def test_each_run_leaves_a_record_of_what_it_measured(store, few):
    run_batch(SUITE, store, SUITE.runs)
    bases = {
        (model, seed): prepared(trained(few, model, seed), few, inf_fs) for model in (PLAIN, LENET) for seed in (1, 2)
    }
    seen = set()
    for each in SUITE.runs:
        record = load_record(store.record_of(each), SUITE.run_digest(each))
        how = method(SUITE, each.method), protocol(SUITE, each.model), target(SUITE, each)
        result = run(bases[each.model, each.seed], *how, each.seed)
        by_hand = {
            "row": result.row, "curve": list(map(asdict, result.curve)), "refits": list(map(asdict, result.refits)),
            "keep": result.keep,
        }  # fmt: skip
        assert comparable(record) == comparable(by_hand), each
        assert record["origin"]["device"] == "cpu" and record["origin"]["precision"] == "fp32"
        assert math.isfinite(record["row"]["score_seconds"])
        seen.add(comparable(record))
    assert len(seen) == len(SUITE.runs) == 16
    assert len(list((store.root / "records").rglob("*.*"))) == 16, "records, and no checkpoint"


def test_only_runs_without_a_valid_record_are_carried_out_and_each_base_is_prepared_once(store, few, monkeypatch):
    run_batch(SUITE, store, SUITE.runs)
    contents = {each: store.record_of(each).read_text() for each in SUITE.runs}
    assert run_batch(SUITE, store, SUITE.runs) is None, "nothing is measured where nothing is missing"
    gone = [each for each in SUITE.runs if each.method == "one" and (each.model, each.seed) != (LENET, 1)]
    gone = [each for each in gone if (each.model, each.seed, each.ratio) != (PLAIN, 1, 0.25)]  # one left of its base
    for each in gone[1:]:
        store.record_of(each).unlink()
    store.record_of(gone[0]).write_text(json.dumps({"digest": SUITE.run_digest(gone[0])}))
    prepared_bases, ran, saved = (spied(monkeypatch, name) for name in ("stored_base", "run", "save_record"))
    run_batch(SUITE, store, SUITE.runs)
    assert [(args[3], args[4]) for args, _ in prepared_bases] == [(LENET, 2), (PLAIN, 1), (PLAIN, 2)]
    assert {args[0] for args, _ in saved} == {store.record_of(each) for each in gone} and len(ran) == len(gone) == 5
    for args, _ in ran:
        checkpoint = args[5]
        [each] = [e for e in gone if checkpoint.name == f"{e.target}.{SUITE.run_digest(e)}.checkpoint"]
        assert checkpoint.parent == store.record_of(each).parent and args[4] == each.seed
    for each in SUITE.runs:
        if each not in gone:
            assert store.record_of(each).read_text() == contents[each]


def test_a_job_of_one_run_is_carried_out(store):
    run_batch(SUITE, store, SUITE.runs[-1:])
    found = [load_record(store.record_of(each), SUITE.run_digest(each)) for each in SUITE.runs]
    assert [record is not None for record in found] == [False] * 15 + [True]


def test_weights_that_a_suite_names_take_the_place_of_training(store, few, tmp_path, monkeypatch):
    given = untrained(PLAIN, few, 77)
    torch.save(given.state_dict(), tmp_path / "given.pth")
    sha256 = hashlib.sha256((tmp_path / "given.pth").read_bytes()).hexdigest()
    settings = {"weights": str(tmp_path / "given.pth"), "weights_sha256": sha256}
    calls = spied(monkeypatch, "train")
    for seed, named in ((1, settings), (2, settings | {"weights_sha256": None})):
        whole, net = suite(training=named), untrained(PLAIN, few, 5)
        train_bases(whole, store, "digits", PLAIN, [seed])
        assert load_weights(store.base("digits", "plain-4", seed), net, whole.base_digest("digits", PLAIN, seed))
        assert torch.equal(weights(net), weights(given)) and not calls
    with pytest.raises(UserError, match="is not the expected one"):
        train_bases(suite(training=settings | {"weights_sha256": "0" * 64}), store, "digits", PLAIN, [3])


def test_what_was_measured_before_a_job_was_killed_is_kept(store, monkeypatch):
    whole, done = batch.run, []

    def killed(*args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(args)
        return whole(*args)

    monkeypatch.setattr(batch, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        run_batch(SUITE, store, SUITE.runs)
    found = [load_record(store.record_of(each), SUITE.run_digest(each)) for each in SUITE.runs]
    assert sum(record is not None for record in found) == 2
