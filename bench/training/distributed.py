"""Training in several processes, one per GPU, on one machine or many, with the same result as in one process.

torchrun runs the script of a job in every process. The first one leads: it alone reads suites, prunes, measures and
writes. The others follow: they wait until the leader calls a function together with them, and end when it ends.
"""

import contextlib
import copy
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from bench.training.devices import device, use
from nisp.errors import UserError

PATIENCE = timedelta(days=7)
"""How long the others wait, by gloo, while the leader scores, prunes and measures."""
PATIENCE_IN_TRAINING = timedelta(minutes=10)
"""How long GPUs wait for one another, by NCCL, while all train; one that waits longer waits for a process that died."""

_gpus: "dist.ProcessGroup | None" = None
_held: list[Any] = []
"""The data set that was sent last: in the leader as it was given, in the others on their device."""


def size() -> int:
    """Number of processes that train together; 1 if torchrun did not start this one."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Index of this process among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def leads() -> bool:
    """Whether this process is the first or the only one: the one that writes."""
    return rank() == 0


@contextlib.contextmanager
def computing(wanted: str, resources: Mapping[str, Any]) -> Iterator[None]:
    """Run the block on the job's device, with one process per GPU of the job.

    wanted     auto, cuda or cpu (bench.training.devices.use)
    resources  of the job: gpu (on all nodes together) and nodes
    """
    gpus = use(wanted, resources.get("gpu", 0))
    with leading(gpus, resources.get("nodes", 1)):
        yield


@contextlib.contextmanager
def leading(processes: int, nodes: int = 1) -> Iterator[None]:
    """Re-run this script in ``processes`` processes, one per GPU, and the block in the first; the others end with it.

    processes  on all nodes together
    nodes      of a SLURM job, each with the same number of processes
    """
    if processes > 1 and not _by_torchrun():
        sys.stderr.flush()
        # This process becomes torchrun, so that what ends the job ends all of them.
        os.execvp(*_torchrun(processes, nodes))  # noqa: S606
    if not _by_torchrun():
        yield
        return
    on_gpu = device().type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device())
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ["LOCAL_WORLD_SIZE"])))
    global _gpus
    dist.init_process_group("gloo", timeout=PATIENCE)
    _gpus = dist.new_group(backend="nccl", timeout=PATIENCE_IN_TRAINING) if on_gpu else None  # type: ignore[assignment]
    if not leads():
        _follow()
        dist.destroy_process_group()
        sys.exit()
    yield
    dist.broadcast_object_list([None])
    dist.destroy_process_group()


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _torchrun(processes: int, nodes: int) -> tuple[str, list[str]]:
    """The program and arguments that re-run this script in this many processes."""
    if processes % nodes:
        raise UserError(f"{processes} GPUs cannot be shared evenly by {nodes} nodes: ask for a multiple of {nodes}")
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes // nodes}"]
    if nodes == 1:
        command += ["--standalone"]
    else:
        job = os.environ.get("SLURM_JOB_ID")
        if job is None:
            raise UserError(f"a job on {nodes} nodes needs SLURM, which starts its processes: ask for one node")
        port = 20000 + int(job) % 20000
        command += [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-id={job}"]
        command += [f"--rdzv-endpoint={socket.gethostname()}:{port}"]
        # --overlap: this process is a step of the job itself, and the new step uses the same cores and GPUs.
        step = ["--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", f"--cpus-per-task={torch.get_num_threads()}"]
        command = ["srun", *step, *command]
    return command[0], [*command, *sys.argv]


def together(function: Callable[..., Any], *arguments: Any, **here: Any) -> Any:
    """Call ``function`` in every process, with copies of the leader's arguments, and return what it returns here.

    A network or data set among the arguments is put on each process's device, where a data set stays for the calls to
    come; keyword arguments stay ``here``.
    """
    if size() > 1:
        dist.broadcast_object_list([(function, [_parcel(argument) for argument in arguments])])
    return function(*arguments, **here)


@dataclass(frozen=True)
class _Held:
    """Stands for the data set that was sent last."""


def _parcel(argument: Any) -> Any:
    """What is sent for an argument. Moving a network changes it in place, so a copy is sent."""
    cpu = torch.device("cpu")
    if isinstance(argument, nn.Module):
        return copy.deepcopy(argument).to(cpu)
    if not hasattr(argument, "to"):
        return argument
    if _held and _held[0] is argument:
        return _Held()
    _held[:] = [argument]
    return argument.to(cpu)


def _unpacked(argument: Any) -> Any:
    """The argument that was sent, on this process's device."""
    if isinstance(argument, _Held):
        return _held[0]
    if not hasattr(argument, "to"):
        return argument
    here = argument.to(device())
    if not isinstance(argument, nn.Module):
        _held[:] = [here]
    return here


def from_leader(read: Callable[[], bytes]) -> bytes:
    """What ``read`` returns in the leader, in every process."""
    content = [read() if leads() else b""]
    if size() > 1:
        dist.broadcast_object_list(content)
    return content[0]


def _follow() -> None:
    while True:
        call: list[Any] = [None]
        dist.broadcast_object_list(call)
        if call[0] is None:
            return
        function, arguments = call[0]
        function(*map(_unpacked, arguments))


def shared(count: int) -> bool:
    """Whether ``count`` images are divided among the processes; if there are fewer images, each process does all."""
    return 1 < size() <= count


def share(count: int) -> slice:
    """Which of ``count`` images this process computes: every size()-th, or all."""
    return slice(rank(), None, size()) if shared(count) else slice(None)


def weight(mine: int, count: int) -> float:
    """Weight of the mean over ``mine`` images of this process in the mean over all ``count``, times size().

    The factor size() is there because DistributedDataParallel averages gradients over processes.
    """
    return size() * mine / count if shared(count) else mine / count


def parallel(model: nn.Module) -> nn.Module:
    """The network with gradients averaged over all processes; unchanged if there is only one."""
    return DistributedDataParallel(model, process_group=_gpus) if size() > 1 else model


def summed(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place."""
    if size() > 1:
        dist.all_reduce(tensor, group=_gpus)
    return tensor


def in_shares(function: Callable[[slice], Tensor], count: int) -> Tensor:
    """Rows of ``function`` for ``count`` images, of which each process computes a share."""
    rows = function(share(count))
    if not shared(count):
        return rows
    whole = rows.new_zeros(count, *rows.shape[1:])
    whole[share(count)] = rows
    return summed(whole)


class SharedBatchNorm(TorchFunctionMode):
    """Batch norm in training takes mean and variance over the ``count`` images of all processes, as in one process.

    A mode instead of nn.SyncBatchNorm, so that the network's own layers stay unchanged. On GPUs it calls that layer's
    kernels; on CPUs, where it has none, it computes the definition.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.shared = shared(count)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces F.batch_norm when it would use the batch's statistics."""
        if func is not F.batch_norm or not self.shared:
            return func(*args, **(kwargs or {}))
        return _batch_norm(func, *args, **(kwargs or {}))


def _batch_norm(
    ordinary: Callable[..., Tensor],
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return ordinary(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if input.is_cuda:
        return SyncBatchNorm.apply(input, weight, bias, running_mean, running_var, eps, momentum, _gpus, size())  # type: ignore[no-untyped-call]
    x = input.float()
    over = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    count = all_reduce(torch.tensor(x.numel() / x.shape[1]))
    mean = all_reduce(x.sum(over)) / count
    centred = x - mean.view(shape)
    var = all_reduce(centred.square().sum(over)) / count
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * count / (count - 1), momentum)
    normal = centred * (var + eps).rsqrt().view(shape)
    return (normal * weight.view(shape) + bias.view(shape)).to(input.dtype)
