import copy
import math

import pytest
import torch

from bench.runs.bases import untrained
from bench.suite.specs import ModelSpec
from bench.training.loop import Recipe, recalibrate, reinitialise, train
from nisp.errors import UserError

RECIPE = Recipe(4, 128, 0.1, 0.9, 5e-4, "cosine", ("shift",))
MODEL = ModelSpec(name="plain", depth=4)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_same_seed_gives_the_same_network_and_curve(digits):
    results = []
    for seed in (0, 0, 1):
        model = untrained(MODEL, digits, 0)
        results.append((train(model, digits, RECIPE, seed), weights(model)))
    (first, w1), (second, w2), (_, w3) = results
    strip = lambda curve: [(e.epoch, e.test_loss, e.test_top1, e.learning_rate) for e in curve]  # noqa: E731
    assert strip(first) == strip(second) and torch.equal(w1, w2)
    assert not torch.equal(w1, w3)
    assert first[-1].test_top1 > 80 and len(first) == 5 and math.isnan(first[0].train_loss)


def with_dropout():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.Dropout(), torch.nn.Linear(32, 10))


def test_the_seed_fixes_dropout_and_leaves_torchs_generator_alone(digits, tmp_path, monkeypatch):
    results = []
    for seed, killed in ((0, False), (0, True), (1, False)):
        model, checkpoint = with_dropout(), tmp_path / f"{killed}"
        torch.seed()
        before = torch.get_rng_state()
        if killed:
            monkeypatch.setattr("bench.training.checkpoints.SECONDS", -1.0)
            with pytest.raises(RuntimeError, match="killed"):
                train(model, digits, RECIPE, seed, checkpoint, report=fail_at(3))
            model = with_dropout()
            torch.seed()
            before = torch.get_rng_state()
        train(model, digits, RECIPE, seed, checkpoint)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(model))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def fail_at(number):
    def report(epoch):
        if epoch.epoch == number:
            raise RuntimeError("killed")

    return report


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_result(digits, tmp_path, monkeypatch, killed_after):
    monkeypatch.setattr("bench.training.checkpoints.SECONDS", -1.0)
    whole = untrained(MODEL, digits, 0)
    curve = train(whole, digits, RECIPE, 0)
    checkpoint = tmp_path / "state"

    class Killed(Exception):
        pass

    def kill(epoch):
        if epoch.epoch == killed_after + 1:
            raise Killed

    model = untrained(MODEL, digits, 0)
    with pytest.raises(Killed):
        train(model, digits, RECIPE, 0, checkpoint, kill)
    assert checkpoint.exists()
    resumed = untrained(MODEL, digits, 5)
    epochs = []
    again = train(resumed, digits, RECIPE, 0, checkpoint, epochs.append)
    assert len(epochs) == 4 - killed_after, "finished epochs are not trained again"
    assert [e.test_loss for e in again] == [e.test_loss for e in curve]
    assert torch.equal(weights(whole), weights(resumed))
    assert not checkpoint.exists()


def test_a_broken_checkpoint_is_started_anew(digits, tmp_path):
    checkpoint = tmp_path / "state"
    checkpoint.write_bytes(b"half a file")
    model, whole = untrained(MODEL, digits, 0), untrained(MODEL, digits, 0)
    train(model, digits, RECIPE, 0, checkpoint)
    train(whole, digits, RECIPE, 0)
    assert torch.equal(weights(model), weights(whole))


def test_a_diverging_loss_is_told(digits):
    with pytest.raises(UserError, match=r"training loss is (nan|inf)"):
        train(untrained(MODEL, digits, 0), digits, Recipe(3, 128, 1e20, 0.9, 0.1, "constant"), 0)


def test_bf16_trains(digits):
    model = untrained(MODEL, digits, 0)
    assert train(model, digits, Recipe(4, 128, 0.1, 0.9, 5e-4, "cosine", (), "bf16"), 0)[-1].test_top1 > 80


def test_recalibration_sets_the_statistics_of_the_images(digits):
    model = untrained(MODEL, digits, 0)
    images = digits.train.images[:256]
    recalibrate(model, images)
    responses = model[0](images).detach()
    torch.testing.assert_close(model[1].running_mean, responses.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model[1].running_var, responses.var((0, 2, 3)), rtol=2e-2, atol=1e-4)
    assert not model.training and model[1].momentum == 0.1


def test_reinitialising_forgets_the_weights(digits):
    model = untrained(MODEL, digits, 0)
    other = copy.deepcopy(model)
    train(other, digits, RECIPE, 0)
    reinitialise(other, 3)
    reinitialise(model, 3)
    assert torch.equal(weights(model), weights(other))
    assert torch.equal(model[1].running_mean, other[1].running_mean)
