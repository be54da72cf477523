"""Two processes that torchrun starts, on the CPU, train as one does."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.data import Dataset, Split, imagenet
from bench.runs.size import size_of
from bench.training import distributed
from bench.training.loop import Recipe, train
from nisp.errors import UserError
from tests.bench.training.test_loop import weights
from tests.conftest import write_photographs

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(2)
from bench.training import distributed, loop as training
from tests.bench.training import test_distributed as cases

folder, until = Path(sys.argv[1]), int(sys.argv[2])
training.checkpoints.SECONDS = -1.0

def report(epoch):
    if epoch.epoch == until:
        raise RuntimeError("killed")

with distributed.leading(2):
    assert distributed.size() == 2 and distributed.leads()
    for name in sys.argv[3:]:
        model, curve = cases.trained(name, folder, folder / f"{name}.checkpoint", report)
        losses = [epoch.test_loss for epoch in curve], [epoch.train_loss for epoch in curve]
        torch.save((model.state_dict(), *losses), folder / name)
"""


def network(channels, classes, side):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(channels, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AvgPool2d(2)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8 * ((side - 2) // 2) ** 2, classes))


def trained(name, folder, checkpoint=None, report=None):
    """Small pictures in memory, whose last batch is one image; or photographs in files."""
    if name == "memory":
        images = torch.randn(97, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        split = Split(images, (images.mean((1, 2, 3)) * 30).long().clamp(-2, 2) + 2)
        dataset, recipe = (
            Dataset(name, split, split, split, 5),
            Recipe(4, 32, 0.1, 0.9, 5e-4, "cosine", ("shift", "flip")),
        )
    else:
        dataset = imagenet.load(folder, 0, image_size=32)
        recipe = Recipe(2, 7, 0.01, 0.9, 1e-4, "step", ("resized_crop", "flip"))
    model = network(dataset.in_channels, dataset.classes, dataset.image_size)
    return model, train(model, dataset, recipe, 0, checkpoint, report)


def by_two(folder, *names, until=-1):
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "script.py", str(folder), str(until), *names]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def checkpointed(path):
    return torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)  # after its sha256


def same(folder, name):
    model, curve = trained(name, folder)
    state, test_losses, train_losses = torch.load(folder / name, weights_only=True)
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(state[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    assert test_losses == pytest.approx([epoch.test_loss for epoch in curve], rel=1e-4)
    assert train_losses[1:] == pytest.approx([epoch.train_loss for epoch in curve[1:]], rel=1e-4)


def test_two_processes_train_to_the_result_of_one(tmp_path):
    write_photographs(tmp_path / "imagenet")
    done = by_two(tmp_path, "memory", "photographs")
    assert done.returncode == 0, done.stderr
    same(tmp_path, "memory")
    same(tmp_path, "photographs")
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.slow
def test_killed_and_started_again_they_go_on(tmp_path):
    killed = by_two(tmp_path, "memory", until=3)
    assert killed.returncode and "RuntimeError: killed" in killed.stderr
    assert len(checkpointed(tmp_path / "memory.checkpoint")["curve"]) == 3
    done = by_two(tmp_path, "memory")
    assert done.returncode == 0, done.stderr
    same(tmp_path, "memory")


def test_a_network_that_was_measured_can_be_sent(digits):
    model = network(1, 10, 8)
    size_of(model, digits.example)
    assert weights(pickle.loads(pickle.dumps(model))).equal(weights(model))


def test_on_several_nodes_srun_starts_torchrun_on_each(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    program, command = distributed._torchrun(8, 2)
    assert f"--rdzv-endpoint=node7:{20000 + int(os.environ['SLURM_JOB_ID']) % 20000}" in command
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-backend=c10d"} <= set(command)
    assert program == "srun" and {"--overlap", "--nodes=2", "--nnodes=2", "--nproc-per-node=4"} <= set(command)
    assert command[-len(sys.argv) :] == sys.argv
    with pytest.raises(UserError, match="8 GPUs cannot be shared evenly by 3 nodes"):
        distributed._torchrun(8, 3)
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(UserError, match="needs SLURM"):
        distributed._torchrun(8, 2)
