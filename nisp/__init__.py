"""Neuron Importance Score Propagation (Yu et al., CVPR 2018): rank the final responses, propagate, select."""

from nisp.inf_fs import inf_fs
from nisp.network import final_layers
from nisp.propagation import propagate
from nisp.responses import final_responses
from nisp.scoring import scores

__version__ = "0.1.0"

__all__ = ["final_layers", "final_responses", "inf_fs", "propagate", "scores"]
