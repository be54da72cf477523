"""When a batch does not fit in memory, the error is recognised, and smaller batches give the same results."""

import pytest
import torch
from torch import nn

import baselines.taylor
from baselines._responses import mean_over_images
from nisp.pruning import anatomy
from nisp.pruning.contract import Problem
from nisp.pruning.layer_inputs import layer_inputs
from nisp.pruning.memory import in_batches, is_out_of_memory
from nisp.pruning.sampling import sampled_rows
from nisp.responses import final_responses

IMAGES = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """Takes so many images, and notices late that it cannot take more."""

    def __init__(self, room):
        super().__init__()
        torch.manual_seed(0)
        self.room, self.tried = room, []
        self.a, self.b, self.f = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 3)

    def forward(self, x):
        self.tried.append(len(x))
        x = self.f(self.b(self.a(x).relu()).relu().mean((2, 3)))
        if len(x) > self.room:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return x


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_it_is_recognised_however_it_is_told(error, is_one):
    assert is_out_of_memory(error) == is_one


def test_batches_are_halved_until_they_fit_and_stay_so():
    sizes = []

    def function(some):
        sizes.append(len(some))
        if len(some) > 5:
            raise torch.OutOfMemoryError
        return some.sum().item()

    assert list(in_batches(function, torch.arange(20.0), 16)) == [sum(range(i, i + 4)) for i in range(0, 20, 4)]
    assert sizes == [16, 8, 4, 4, 4, 4, 4]
    with pytest.raises(torch.OutOfMemoryError):
        list(in_batches(lambda some: function(torch.ones(6)), torch.ones(2), 2))


def values(model):
    """All that is computed of images in batches."""
    model.eval()
    groups = anatomy(model, IMAGES[:1]).groups
    problem = Problem(model, groups, {}, IMAGES, torch.arange(20) % 3, "f", 0)
    rows = sampled_rows(model, ("a", "b", "f"), IMAGES, 0)
    inputs = layer_inputs(model, groups, IMAGES, lambda x: x.flatten(0, -2))
    return {
        "final responses": final_responses(model, IMAGES, "f", 20),
        "layer inputs": {name: torch.cat(parts) for name, parts in inputs.items()},
        "mean responses": mean_over_images(problem, 20, lambda x: x.flatten(2).sum((0, 2)), 20),
        "taylor": baselines.taylor.score(problem),
        "rows": {name: (part.inputs, part.outputs) for name, part in rows.items()},
    }


@pytest.mark.parametrize("room", [3, 1])
def test_what_is_computed_in_parts_is_the_same(room):
    small = Small(room)
    torch.testing.assert_close(values(small), values(Small(100)))
    assert max(small.tried) == 20, "the whole was tried"
