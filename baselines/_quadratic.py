"""The loss of a layer whose weights are solved again without some of its inputs, by low-rank updates (OSSCAR).

The loss is L(W) = ½ tr(WᵀHW) − tr(GᵀW) + constant (Meng et al. 2024, section 3), smallest over the rows of W that are
present. Removing or adding rows S changes the inverse of H, the solution and the loss by terms of the size of S, from
the inverse of a block matrix; nothing is solved from the start.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nisp.pruning.reconstruction import System


class Quadratic:
    """A layer's loss as a function of the channels that are present; at first all are. In float64.

    blocks    shape (channels, run): rows of W that read each channel; rows in no block are always present
    hessian   H, shape (rows, rows); linear: G, shape (rows, outputs)
    inverse   of H on the rows that are present, else 0
    weight    the solution W, shape (rows, outputs); 0 where rows are absent
    """

    def __init__(self, hessian: Tensor, linear: Tensor, blocks: Tensor) -> None:
        self.hessian, self.linear, self.blocks = hessian, linear, blocks.to(hessian.device)
        self.inverse = torch.linalg.inv(hessian)
        self.weight = self.inverse @ linear
        self.present = torch.ones(len(blocks), dtype=torch.bool, device=hessian.device)

    @classmethod
    def of(cls, system: System, channels: Tensor, damping: float) -> "Quadratic":
        """The loss of a layer's ``system``; ``channels``, shape (channels, run), lists inputs of it.

        H = XᵀX + λI and G = XᵀY + λB, with λ = ``damping`` times the mean of H's diagonal, Y the targets without the
        bias and B the present weights, which count as 0 where an input never responds.
        """
        rows = system.rows
        taps = rows.shape[1] // len(system.inputs)
        hessian = rows.T @ rows
        before = system.present.T * (hessian.diagonal() > 0)[:, None]
        pull = damping * hessian.diagonal().mean().clamp_min(1e-12)
        hessian.diagonal().add_(pull)
        linear = hessian @ before + rows.T @ (system.residual - system.shift_before)
        places = torch.searchsorted(system.inputs, channels)
        blocks = (places[:, :, None] * taps + torch.arange(taps)).flatten(1)
        return cls(hessian, linear, blocks)

    def losses(self) -> Tensor:
        """How much L rises without each channel alone, shape (channels,); 0 for those that are absent.

        ½ tr(W_jᵀ [H⁻¹]_jj⁻¹ W_j), with the other weights solved again.
        """
        inverses = self.inverse[self.blocks[:, :, None], self.blocks[:, None, :]]
        absent = (~self.present).to(inverses.dtype)[:, None, None]
        inverses = inverses + absent * torch.eye(self.blocks.shape[1], dtype=inverses.dtype, device=inverses.device)
        weights = self.weight[self.blocks]
        return (weights * torch.linalg.solve(inverses, weights)).sum((1, 2)) / 2

    def gains(self) -> Tensor:
        """How much L falls with each absent channel alone, shape (channels,); 0 for those that are present.

        ½ tr(gᵀ C⁻¹ g), with g = G_j − H_j W and C = H_jj − H_j H⁻¹ H_jᵀ, the Schur complement.
        """
        absent = (~self.present).nonzero()[:, 0]
        found = torch.zeros(len(self.blocks), dtype=self.weight.dtype, device=self.weight.device)
        if len(absent):
            rows = self.blocks[absent]
            read = self.hessian[rows]  # (absent, run, rows)
            schur = self.hessian[rows[:, :, None], rows[:, None, :]] - read @ self.inverse @ read.mT
            open_part = self.linear[rows] - read @ self.weight
            found[absent] = (open_part * torch.linalg.solve(schur, open_part)).sum((1, 2)) / 2
        return found

    def remove(self, channels: Sequence[int]) -> float:
        """Take present ``channels`` out at once; returns how much L rises."""
        rows = self._marked(channels, False)
        block, weight, columns = self.inverse[rows[:, None], rows], self.weight[rows], self.inverse[:, rows]
        self.weight -= columns @ torch.linalg.solve(block, weight)
        self.inverse -= columns @ torch.linalg.solve(block, columns.T)
        self.weight[rows] = self.inverse[rows] = self.inverse[:, rows] = 0
        return (weight * torch.linalg.solve(block, weight)).sum().item() / 2

    def add(self, channels: Sequence[int]) -> float:
        """Put absent ``channels`` back at once; returns how much L falls."""
        rows = self._marked(channels, True)
        read = self.inverse @ self.hessian[:, rows]
        inverse = torch.linalg.inv(self.hessian[rows[:, None], rows] - self.hessian[rows] @ read)
        open_part = self.linear[rows] - self.hessian[rows] @ self.weight
        weight = inverse @ open_part
        self.weight -= read @ weight
        self.weight[rows] = weight
        self.inverse += read @ inverse @ read.T
        self.inverse[:, rows] = -read @ inverse
        self.inverse[rows] = self.inverse[:, rows].T
        self.inverse[rows[:, None], rows] = inverse
        return (open_part * weight).sum().item() / 2

    def _marked(self, channels: Sequence[int], present: bool) -> Tensor:
        """Note whether ``channels`` are present; returns their rows."""
        places = torch.tensor(channels, device=self.present.device)
        self.present[places] = present
        return self.blocks[places].flatten()
