"""Training is what its recipe says: the same arithmetic, written out by hand."""

import copy
import math
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.data import Split
from bench.runs.bases import untrained
from bench.suite.specs import ModelSpec
from bench.training import loop as training
from bench.training.augmentation import augmented
from bench.training.loop import Recipe, recalibrate, reinitialise, train
from bench.training.out_of_memory import Kept
from bench.training.streams import stream
from nisp.errors import UserError
from tests.bench.training.test_loop import weights

MODEL = ModelSpec(name="plain", depth=4)
RECIPE = Recipe(3, 64, 0.05, 0.8, 0.01, "cosine", ("shift",))
SEED = 5


@pytest.fixture(scope="module")
def small(digits):
    """150 training images: batches of 64, 64 and 22."""
    return replace(digits, train=Split(digits.train.images[:150], digits.train.labels[:150]))


def by_hand(model, dataset, recipe, factor):
    """Stochastic gradient descent with momentum and weight decay, step by step; returns losses and rates by epoch."""
    images, labels = dataset.train
    generator = torch.Generator().manual_seed(SEED)
    velocities = [torch.zeros_like(parameter) for parameter in model.parameters()]
    steps = -(-len(labels) // recipe.batch_size)
    losses, rates = [], []
    for epoch in range(recipe.epochs):
        model.train()
        order, loss_of_all = torch.randperm(len(labels), generator=generator), 0.0
        for step in range(steps):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            logits = model(augmented(images, chosen, recipe.augment, generator))
            loss = -logits.log_softmax(1)[torch.arange(len(chosen)), labels[chosen]].mean()
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            number = epoch * steps + step
            rate = recipe.learning_rate * factor(number, recipe.epochs * steps)
            with torch.no_grad():
                for parameter, gradient, velocity in zip(model.parameters(), gradients, velocities, strict=True):
                    velocity.mul_(recipe.momentum).add_(gradient + recipe.weight_decay * parameter)
                    parameter -= rate * velocity
            loss_of_all += loss.item() * len(chosen)
        losses.append(loss_of_all / len(labels))
        rates.append(rate)
    return losses, rates


def cosine(number, total):
    return (1 + math.cos(math.pi * number / total)) / 2


def inverse(number, total):
    return (1 + number / 10_000) ** -0.75


def half_and_three_quarters(number, total):
    return {0: 1, 1: 1, 2: 0.1, 3: 0.01}[4 * number // total]


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, cosine),
        ({"schedule": "step"}, half_and_three_quarters),
        ({"schedule": "inv"}, inverse),
        ({"momentum": 0.0, "augment": ()}, cosine),
        ({"weight_decay": 0.0, "augment": ("flip", "crop")}, cosine),
        ({"epochs": 1, "batch_size": 150}, cosine),
    ],
)
def test_training_is_descent_by_hand(small, changes, factor):
    recipe = replace(RECIPE, **changes)
    start = untrained(MODEL, small, 0)
    ours, theirs = copy.deepcopy(start).eval(), copy.deepcopy(start)
    began = time.perf_counter()
    curve = train(ours, small, recipe, SEED)
    took = time.perf_counter() - began
    losses, rates = by_hand(theirs, small, recipe, factor)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-3, atol=1e-5)
    assert not ours.training
    assert [epoch.epoch for epoch in curve] == list(range(recipe.epochs + 1))
    assert [epoch.train_loss for epoch in curve[1:]] == pytest.approx(losses, rel=1e-4)
    assert [epoch.learning_rate for epoch in curve] == pytest.approx([recipe.learning_rate, *rates])
    assert math.isnan(curve[0].train_loss) and curve[0].seconds == 0
    assert min(epoch.seconds for epoch in curve[1:]) > 0 and sum(epoch.seconds for epoch in curve) <= took
    for model, epoch in ((start, curve[0]), (theirs, curve[-1])):
        outputs = model.eval()(small.test.images)
        assert epoch.test_loss == pytest.approx(F.cross_entropy(outputs, small.test.labels).item(), rel=1e-3)
        assert epoch.test_top1 == pytest.approx(100 * (outputs.argmax(1) == small.test.labels).double().mean().item())
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, theirs.get_buffer(name), rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bf16_computes_in_training_only_and_stores_nothing(small, precision):
    model, seen = untrained(MODEL, small, 0), set()
    model[0].register_forward_hook(lambda layer, _, output: seen.add((layer.training, output.dtype)))
    train(model, small, replace(RECIPE, epochs=1, precision=precision), 0)
    assert seen == {(True, torch.bfloat16 if precision == "bf16" else torch.float32), (False, torch.float32)}
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_dropout_draws_anew_in_every_batch_and_epoch_and_by_the_seed(small):
    """All images are the same and the weights hardly move, so outputs of 0 tell what was dropped."""

    def masks(seed):
        model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
        drawn = []
        model[1].register_forward_hook(lambda layer, _, out: drawn.append(out == 0) if layer.training else None)
        data = replace(small, train=Split(torch.ones(128, 1, 8, 8), torch.zeros(128, dtype=torch.long)))
        train(model, data, Recipe(3, 64, 1e-9, 0.0, 0.0, "constant"), seed)
        return drawn

    drawn, again, other = masks(0), masks(0), masks(1)
    assert len(drawn) == 6
    for one in drawn:
        assert abs(one.double().mean().item() - 0.5) < 0.05
        assert sum(torch.equal(one, each) for each in [*drawn, *other]) == 1
    assert all(map(torch.equal, drawn, again))


@pytest.mark.parametrize(("processes", "message"), [(2, "out of memory at 7 of"), (1, "out of memory at 1 of")])
def test_processes_that_train_together_do_not_go_on_in_parts(monkeypatch, processes, message):
    """The others would wait for ever; one alone halves its batch, the larger half first, down to single images."""
    attempts = []

    def full(images):
        attempts.append(len(images))
        raise torch.OutOfMemoryError

    model = nn.Linear(2, 2)
    model.forward = full
    monkeypatch.setattr(training.distributed, "size", lambda: processes)
    with pytest.raises(UserError, match=message):
        training._step(
            model, torch.optim.SGD(model.parameters()), torch.ones(7, 2), torch.zeros(7), "fp32", 7, 100, Kept([])
        )
    assert attempts == ([7] if processes > 1 else [7, 4, 2, 1])


def test_a_report_follows_every_epoch(small):
    told = []
    curve = train(untrained(MODEL, small, 0), small, RECIPE, 0, report=told.append)
    assert told == curve[1:]


def test_a_checkpoint_is_written_only_when_it_is_due(small, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr("bench.training.checkpoints.save", lambda path, *state: saved.append(len(state[-1])))
    for seconds, expected in ((1e9, []), (-1.0, [2, 3, 4])):
        monkeypatch.setattr("bench.training.checkpoints.SECONDS", seconds)
        train(untrained(MODEL, small, 0), small, RECIPE, 0, tmp_path / "state")
        assert saved == expected


@pytest.mark.parametrize("at", [0, 31, 32, 3000, -1])
def test_a_checkpoint_with_one_wrong_byte_is_not_gone_on_from(small, tmp_path, monkeypatch, at):
    monkeypatch.setattr("bench.training.checkpoints.SECONDS", -1.0)
    state = tmp_path / "state"

    def kill(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(untrained(MODEL, small, 0), small, RECIPE, 0, state, kill)
    content = bytearray(state.read_bytes())
    content[at] ^= 1
    state.write_bytes(content)
    told, whole, resumed = [], untrained(MODEL, small, 0), untrained(MODEL, small, 0)
    train(resumed, small, RECIPE, 0, state, told.append)
    train(whole, small, RECIPE, 0)
    assert [epoch.epoch for epoch in told] == [1, 2, 3] and torch.equal(weights(resumed), weights(whole))


def test_recalibration_averages_the_statistics_of_its_batches_and_forgets_the_old_ones(small):
    """150 images in batches of 64, 64 and 22, each of which counts for a third."""
    model = untrained(MODEL, small, 0)
    train(model, small, RECIPE, 0)
    before = weights(model)
    images = small.train.images + 1  # elsewhere than what it was trained on
    norms = [module for module in model if isinstance(module, nn.BatchNorm2d)]
    norms[1].momentum = 0.3
    batches = [images[:64], images[64:128], images[128:]]
    expected, inputs = [], batches
    for layer in model:  # each layer reads what those before it make of the batch with the batch's own statistics
        if isinstance(layer, nn.BatchNorm2d):
            means, variances = [x.mean((0, 2, 3)) for x in inputs], [x.var((0, 2, 3)) for x in inputs]
            expected.append((sum(means) / 3, sum(variances) / 3))
            inputs = [F.batch_norm(x, None, None, layer.weight, layer.bias, training=True) for x in inputs]
        else:
            inputs = [layer(x) for x in inputs]
    recalibrate(model, images, 64)
    for norm, (mean, variance) in zip(norms, expected, strict=True):
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
    assert torch.equal(weights(model), before) and not any(module.training for module in model.modules())
    assert [norm.momentum for norm in norms] == [0.1, 0.3, 0.1, 0.1]


def test_recalibration_takes_a_hundred_and_twenty_eight_images_at_a_time(small):
    model, sizes = untrained(MODEL, small, 0), []
    model[0].register_forward_hook(lambda _, inputs, output: sizes.append(len(inputs[0])))
    recalibrate(model, small.train.images)
    assert sizes == [128, 22] and not model[0].weight.grad_fn


def test_recalibration_leaves_a_network_without_batch_norm_as_it_is(small):
    model = untrained(ModelSpec(name="lenet"), small, 0)
    before = copy.deepcopy(model.state_dict())
    recalibrate(model, small.train.images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("model", [MODEL, ModelSpec(name="lenet"), ModelSpec(name="resnet", depth=8)])
def test_reinitialising_gives_the_weights_of_a_network_never_trained(small, model):
    """Layer by layer in order, each draws as it does when it is built."""
    net = untrained(model, small, 0)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.fill_(7)
    before = torch.get_rng_state()
    reinitialise(net, stream(SEED, "initialisation"))
    assert torch.equal(torch.get_rng_state(), before)
    fresh = untrained(model, small, SEED).state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in net.state_dict().items())
