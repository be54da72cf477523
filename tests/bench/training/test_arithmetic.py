"""Adaptive pools made of matrix products equal PyTorch's own, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from bench.training.arithmetic import RepeatablePools, averaged
from tests.gpu.pretended import LAUNCHES, pretended

POOLS = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


@pytest.mark.parametrize(
    ("shape", "size"),
    [((7,), 3), ((5, 7), (2, 7)), ((6, 6), 3), ((4, 5), (None, 2)), ((2, 3), 5), ((4, 5, 6), (1, 2, 3))],
)
def test_an_average_pool_is_a_product_of_matrices(shape, size):
    ours = torch.randn(2, 3, *shape, dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    found, expected = averaged(ours, size, len(shape)), POOLS[len(shape)](theirs, size)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_pools_are_replaced_on_gpus_only():
    x = torch.randn(1, 2, 5, 5)
    with RepeatablePools():
        plain = F.adaptive_avg_pool2d(x, 3)
    assert torch.equal(plain, F.adaptive_avg_pool2d(x, 3))
    with pretended(), RepeatablePools():
        found = torch.nn.AdaptiveAvgPool2d(3)(x.to("cuda")).cpu()
        assert not any("adaptive" in name for name in LAUNCHES)
    torch.testing.assert_close(found, plain)
