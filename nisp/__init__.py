"""NISP: prune a network by Neuron Importance Score Propagation (Yu et al., CVPR 2018), or by any other criterion.

    scores = nisp.scores(model, example, calibration=images)   # layer name -> one score per output channel
    pruned = nisp.prune(model, images, ratio=0.5)              # score, choose, cut, check
    nisp.save(pruned, "small"); model = nisp.load("small")     # no pickle, no pruning code needed to load

The building blocks are public too: those of the method here, those that any pruner needs in `nisp.pruning`. Names are
imported on first use, so ``import nisp`` does not import torch.
"""

from typing import TYPE_CHECKING

from nisp.lazy import lazily

if TYPE_CHECKING:
    from nisp.classifiers import final_layers
    from nisp.errors import UserError
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
    "final_layers": "nisp.classifiers",
    "final_responses": "nisp.responses",
    "inf_fs": "nisp.rankings.inf_fs",
    "load": "nisp.pruning.saving",
    "propagate": "nisp.propagation",
    "prune": "nisp.pruner",
    "save": "nisp.pruning.saving",
    "scores": "nisp.scoring",
}
__getattr__, __all__ = lazily(__name__, _HOMES, globals())
