import os
import tempfile
from pathlib import Path

import pytest
import torch

from bench.training import devices
from bench.training.arithmetic import computing_as, resolved
from bench.training.devices import device, use, visible_gpus
from bench.training.loop import reinitialise
from nisp.errors import UserError


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_claims", [])
    monkeypatch.setattr(devices, "_cpu", False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)
    for file in devices._claims:
        os.close(file)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("named", "seen"),
    [("", []), ("-1", []), ("2", ["2"]), ("4,GPU-a1", ["4", "GPU-a1"]), ("0, 1", ["0", "1"]), ("0,-1,1", ["0"]),
     ("MIG-GPU-a1/1/0", ["MIG-GPU-a1/1/0"])],
)  # fmt: skip
def test_cuda_visible_devices_is_honoured(monkeypatch, named, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == seen


def test_gpus_are_numbered_from_0_whatever_their_files_are_called(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    files = [Path("/dev/nvidia2"), Path("/dev/nvidia3")]
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(files))
    assert visible_gpus() == ["0", "1"]


@pytest.mark.parametrize(("wanted", "message"), [("cuda", "the config has device: cuda"), ("auto", "was given a GPU")])
def test_a_gpu_that_torch_cannot_use_is_an_error_with_its_reason(monkeypatch, wanted, message):
    def fails():
        raise RuntimeError("Found no NVIDIA driver\non your system")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fails)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match=rf"{message}.*\(Found no NVIDIA driver\): set device: cpu"):
        use(wanted, 1)


def test_without_any_gpu_auto_runs_on_the_cpu_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert use("auto", 1) == 0 and device().type == "cpu"
    assert "asked for a GPU, but there is none here: it runs on the CPU" in capsys.readouterr().err


def test_a_job_on_the_cpu_does_not_touch_cuda(monkeypatch):
    def touched(*_):
        raise AssertionError

    for name in ("is_available", "init", "_lazy_init", "get_rng_state", "current_device"):
        monkeypatch.setattr(torch.cuda, name, touched)
    assert use("cpu", 1) == 0 and device().type == "cpu"
    torch.manual_seed(0)
    reinitialise(torch.nn.Linear(2, 2), 0)


def test_jobs_of_one_machine_take_a_gpu_each(monkeypatch, two_gpus):
    taken = []
    for _ in range(5):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
        assert use("auto", 1) == 1 and device() == torch.device("cuda", 0)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "GPU-a1", "4", "GPU-a1", "4"], "shared only when more jobs run than there are GPUs"


def test_the_gpu_of_a_job_that_ended_is_taken_next(monkeypatch, two_gpus):
    taken = []
    for job in range(4):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-a1")
        use("auto", 1)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
        if job == 2:
            os.close(devices._claims.pop(1))
    assert taken == ["4", "GPU-a1", "4", "GPU-a1"]


def test_a_mig_slice_and_another_users_lock(monkeypatch, tmp_path):
    """A slice's name has slashes; a lock file of another user may not be opened, so its device counts as taken."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-a1/1/0,GPU-b2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    opened = os.open

    def forbidden(path, *rest):
        if "MIG" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", forbidden)
    assert use("cuda", 1) == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b2"
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-GPU-a1/1/0,GPU-b2")
    assert use("cuda", 1) == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == "MIG-GPU-a1/1/0"


def test_several_gpus_are_different_ones(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    taken = []
    for _ in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
        assert use("cuda", 2) == 2
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["0,1", "2,0", "1,2"]


def test_gpus_compute_repeatably_and_in_full_precision(two_gpus):
    use("cuda", 1)
    assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    assert not any(each.allow_tf32 for each in flags)
    with computing_as("tf32"):
        assert all(each.allow_tf32 for each in flags)
    with computing_as("bf16"):
        assert not any(each.allow_tf32 for each in flags)


@pytest.mark.parametrize(
    ("units", "expected"),
    [({"amx_bf16"}, "bf16"), ({"avx512_bf16"}, "bf16"), ({"bf16"}, "bf16"), ({"avx512_f", "amx_int8"}, "fp32")],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(monkeypatch, units, expected):
    has = {name: name in units for name in ("amx_bf16", "amx_int8", "avx512_f", *units)}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert resolved("auto", torch.device("cpu")) == expected
    assert [resolved(named, torch.device("cpu")) for named in ("fp32", "tf32", "bf16")] == ["fp32", "tf32", "bf16"]


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_gpu_multiplies_it_without_emulation(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert resolved("auto", torch.device("cuda")) == expected


def test_what_a_scheduler_gave_is_kept(two_gpus):
    assert use("auto", 2) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,GPU-a1" and devices._claims == []


def test_a_job_without_a_gpu_leaves_them_alone(two_gpus):
    assert use("auto", 0) == use("cpu", 1) == 0
    assert device().type == "cpu"


def test_each_process_of_torchrun_has_its_own(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert use("cuda", 2) == 2 and device() == torch.device("cuda", 1)
