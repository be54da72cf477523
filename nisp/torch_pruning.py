"""NISP as an importance criterion for torch-pruning."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.scoring import scores


class NISPImportance:
    """Drop-in ``importance=`` for torch-pruning's pruners: a group's NISP scores, divided by their mean.

    Takes the arguments of `nisp.scores`. The model is scored when the first group is requested, and again when a layer
    has lost channels since, as in iterative pruning; that needs ``calibration``, because ``frl_scores`` only fit the
    unpruned network.

    Within a group, scores are added up over the layers that write its channels; layers with identical scores are
    summands of one addition, and count once. A group that the final responses do not depend on gets None, which
    torch-pruning takes as nothing to prune.

    >>> import torch, torch_pruning as tp
    >>> from nisp.torch_pruning import NISPImportance
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(96, 2))
    >>> images = torch.randn(50, 3, 8, 8)
    >>> pruner = tp.pruner.BasePruner(
    ...     model, images[:1], importance=NISPImportance(model, images[:1], calibration=images),
    ...     pruning_ratio=0.5, ignored_layers=[model[4]],
    ... )
    >>> pruner.step()
    >>> model[0].out_channels, model[2].out_channels, model(images).shape
    (4, 3, torch.Size([50, 2]))
    """

    def __init__(
        self,
        model: nn.Module,
        example_input: Tensor,
        *,
        frl_scores: Tensor | None = None,
        calibration: Tensor | None = None,
        classifier: str | Sequence[str] | None = None,
    ) -> None:
        if (frl_scores is None) == (calibration is None):
            raise UserError("give either frl_scores, or calibration images to compute them from")
        self.model = model
        self.example_input = example_input
        self.options: dict[str, Any] = {
            "frl_scores": frl_scores, "calibration": calibration, "classifier": classifier
        }  # fmt: skip
        self.scores: dict[nn.Module, Tensor] = {}

    def __call__(self, group: Any) -> Tensor | None:
        """Scores of a torch-pruning group's channels, shape (channels,), float32; higher means keep."""
        members = [item for item in group if _writes(item)]
        if any(self._is_stale(item.dep.target.module) for item in members):
            modules = dict(self.model.named_modules())
            found = scores(self.model, self.example_input, **self.options)
            self.scores = {modules[name]: values for name, values in found.items()}
        scored = [item for item in members if item.dep.target.module in self.scores]
        if not scored:
            return None
        place = {channel: index for index, channel in enumerate(group[0].root_idxs)}
        total = torch.zeros(len(place), dtype=torch.float64)
        seen: list[Tensor] = []
        for item in scored:
            values = self.scores[item.dep.target.module]
            if not any(torch.equal(values, other) for other in seen):
                seen.append(values)
                total.index_add_(0, torch.tensor([place[root] for root in item.root_idxs]), values[item.idxs])
        mean = total.mean()
        return (total / mean if mean > 0 else total).float()

    def _is_stale(self, layer: nn.Module) -> bool:
        return not self.scores or (layer in self.scores and len(self.scores[layer]) != _outputs(layer))


def _writes(item: Any) -> bool:
    """Whether a member of a group is a convolution or linear layer that loses outputs."""
    layer, name = item.dep.target.module, item.dep.handler.__name__
    return isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and name.endswith("out_channels")


def _outputs(layer: nn.Module) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels  # type: ignore[return-value]
