import os
import tempfile

import pytest
import torch

from bench.training import devices
from bench.training.devices import device, use, visible_gpus
from nisp.errors import UserError


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_claims", [])
    monkeypatch.setattr(devices, "_cpu", False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    for file in devices._claims:
        os.close(file)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(("named", "seen"), [("", []), ("-1", []), ("2", ["2"]), ("4,GPU-a1", ["4", "GPU-a1"])])
def test_cuda_visible_devices_is_honoured(monkeypatch, named, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == seen


def test_without_a_gpu_cuda_is_refused_and_auto_runs_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: cuda, but torch sees no GPU"):
        use("cuda", 1)
    assert use("auto", 1) == 0 and device().type == "cpu"
    assert "runs on the CPU" in capsys.readouterr().err


def test_jobs_of_one_machine_take_a_gpu_each(monkeypatch, two_gpus):
    taken = []
    for _ in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
        assert use("auto", 1) == 1 and device() == torch.device("cuda", 0)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "GPU-a1", "4"], "shared only when more jobs run than there are GPUs"


def test_what_a_scheduler_gave_is_kept(two_gpus):
    assert use("auto", 2) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,GPU-a1" and devices._claims == []


def test_a_job_without_a_gpu_leaves_them_alone(two_gpus):
    assert use("auto", 0) == use("cpu", 1) == 0
    assert device().type == "cpu"


def test_each_process_of_torchrun_has_its_own(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert use("cuda", 2) == 2 and device() == torch.device("cuda", 1)
