"""Training on a pretended GPU: what it launches, what it waits for, where it runs, and that it resumes anywhere."""

from dataclasses import replace

import pytest
import torch

from bench.data import Split
from bench.training import devices
from bench.training.loop import Recipe, reinitialise, train
from tests.conftest import build
from tests.gpu import pretended as gpu
from tests.gpu.pretended import LAUNCHES, WAITS, DeviceError, pretended

RECIPE = Recipe(1, 32, 0.1, 0.9, 5e-4, "cosine", ("shift", "crop", "flip"))
MOST_LAUNCHES = 530
"""In a step of ResNet-56."""


def cut(digits, count):
    parts = {
        part: Split(getattr(digits, part).images[:count], getattr(digits, part).labels[:count])
        for part in ("train", "validation", "test")
    }
    return replace(digits, **parts)


def on(device, data, recipe=RECIPE, depth=8, **options):
    """The weights, on the CPU, and the losses of a training on ``device``."""
    torch.manual_seed(0)
    model = build("resnet", depth).to(device)
    curve = train(model, data.to(torch.device(device)), recipe, 0, **options)
    return [parameter.detach().cpu() for parameter in model.parameters()], [epoch.test_loss for epoch in curve]


def counted(device, data, depth):
    with pretended():
        on(device, data, depth=depth)
        return LAUNCHES.copy(), WAITS.copy()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_is_that_of_the_cpu(digits, precision):
    data, recipe = cut(digits, 96), replace(RECIPE, epochs=2, precision=precision)
    weights, losses = on("cpu", data, recipe)
    with pretended():
        found, others = on("cuda", data, recipe)
    assert others == pytest.approx(losses, rel=1e-2 if precision == "bf16" else 1e-4)
    if precision == "fp32":
        torch.testing.assert_close(found, weights, rtol=1e-3, atol=1e-4)


def test_no_step_waits_for_the_gpu(digits):
    """An epoch of twice as many steps waits as often."""
    (_, few), (_, many) = (counted("cuda", cut(digits, 64 * times), 8) for times in (1, 2))
    assert few == many


def test_a_step_of_resnet_56_launches_few_kernels(digits):
    (one, _), (two, _) = (counted("cuda", cut(digits, 32 * steps), 56) for steps in (2, 3))
    assert 300 < (two - one).total() <= MOST_LAUNCHES, (two - one).most_common(12)


def test_nothing_lands_on_another_gpu(digits, monkeypatch):
    """The process that owns GPU 1 runs nothing on GPU 0."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(devices, "_cpu", False)
    with pretended(2):
        assert devices.device() == torch.device("cuda", 1)
        on("cuda:1", cut(digits, 64))
        assert {1} == gpu.TOUCHED


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_training_resumes_on_another_device(digits, tmp_path, monkeypatch, first, then):
    data, recipe = cut(digits, 64), replace(RECIPE, epochs=4)
    weights, _ = on("cpu", data, recipe)
    monkeypatch.setattr("bench.training.checkpoints.SECONDS", -1.0)

    def kill(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pretended(), pytest.raises(KeyboardInterrupt):
        on(first, data, recipe, checkpoint=tmp_path / "state", report=kill)
    with pretended():
        epochs = []
        found, _ = on(then, data, recipe, checkpoint=tmp_path / "state", report=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [3, 4]
    torch.testing.assert_close(found, weights, rtol=1e-3, atol=1e-4)


def test_fresh_weights_are_those_of_the_cpu():
    ours = build("resnet", 8)
    reinitialise(ours, 3)
    with pretended():
        theirs = build("resnet", 8).to("cuda")
        reinitialise(theirs, 3)
        assert all(parameter.is_cuda for parameter in theirs.parameters())
        found = [parameter.detach().cpu() for parameter in theirs.parameters()]
    assert all(map(torch.equal, found, ours.parameters()))


MIXED = {
    "two tensors": lambda x: x + torch.randn(8),
    "a list": lambda x: torch.cat([x, torch.randn(4, 8)]),
    "an index": lambda x: x.index_select(0, torch.tensor([0])),
    "a GPU's index": lambda x: torch.randn(4)[x[:, 0].long()],
    "a layer": lambda x: torch.nn.Linear(8, 2)(x),
    "values": lambda x: x.__setitem__(torch.tensor([0, 2]), torch.randn(2, 8)),
    "a generator": lambda x: torch.rand(3, device="cuda", generator=torch.Generator()),
    "a sum into the CPU's": lambda x: torch.zeros(3).add_(x.sum()),
    "labels": lambda x: torch.nn.functional.cross_entropy(x, torch.zeros(4, dtype=torch.int64)),
    "an output": lambda x: torch.mul(x, 2, out=torch.empty(4, 8)),
}


@pytest.mark.parametrize("case", MIXED)
def test_the_pretended_gpu_refuses_what_cuda_refuses(case):
    with pretended():
        x = torch.rand(4, 8).to("cuda")
        with pytest.raises(DeviceError):
            MIXED[case](x)
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()


def test_the_pretended_gpu_computes_and_counts():
    with pretended():
        x = torch.rand(4, 8).to("cuda")
        launched, waited = LAUNCHES.total(), WAITS.total()
        assert (x * torch.tensor(2.0))[torch.tensor([0])].shape == (1, 8)
        assert (LAUNCHES.total() - launched, WAITS.total() - waited) == (2, 1)
        assert torch.equal((x @ x.T).cpu(), x.cpu() @ x.cpu().T)
