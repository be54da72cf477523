"""NISP: prune a network by Neuron Importance Score Propagation (Yu et al., CVPR 2018), or by any other criterion.

    scores = nisp.scores(model, example, calibration=images)   # layer name -> a score for each output channel
    pruned = nisp.prune(model, images, ratio=0.5)              # score, choose, cut, check
    nisp.save(pruned, "small"); model = nisp.load("small")     # no pickle, no pruning code needed to load

The parts are public too: here the method's own, in `nisp.pruning` what any pruner needs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nisp.errors import UserError
    from nisp.network import final_layers
    from nisp.propagation import propagate
    from nisp.pruner import Pruned, prune
    from nisp.pruning.saving import load, save
    from nisp.rankings.inf_fs import inf_fs
    from nisp.responses import final_responses
    from nisp.scoring import scores

__version__ = "0.1.0"

_HOMES = {
    "Pruned": "nisp.pruner",
    "UserError": "nisp.errors",
    "final_layers": "nisp.network",
    "final_responses": "nisp.responses",
    "inf_fs": "nisp.rankings.inf_fs",
    "load": "nisp.pruning.saving",
    "propagate": "nisp.propagation",
    "prune": "nisp.pruner",
    "save": "nisp.pruning.saving",
    "scores": "nisp.scoring",
}
__all__ = [
    "Pruned", "UserError", "final_layers", "final_responses", "inf_fs", "load", "propagate", "prune", "save", "scores",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that ``import nisp`` and its errors cost no import of torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nisp' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals() | _HOMES)
