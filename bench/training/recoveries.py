"""How networks are trained after pruning, and for how long; needs no torch."""

from typing import Literal, get_args

Recovery = Literal[
    "none", "recalibrate", "finetune", "finetune_tuned", "scratch_paper", "scratch_e", "scratch_b", "scratch_total"
]
SCRATCH = tuple(recovery for recovery in get_args(Recovery) if recovery.startswith("scratch"))


def epochs_of(recovery: Recovery, base: float, finetune: float, macs_ratio: float, limit: float) -> float:
    """Passes over the training images that a recovery takes, 0 if it trains nothing.

    finetune        ``finetune`` epochs at the base's learning rate times a factor (a tenth, as in NISP)
    finetune_tuned  the same with each of several factors; the best on validation images counts
    scratch_paper   as many iterations as fine-tuning, at the base's learning rate (NISP, as we read it)
    scratch_e       the base network's epochs (Liu et al. 2019)
    scratch_b       the base network's compute: its epochs times ``macs_ratio``, the base's MACs over the pruned
                    network's, at most ``limit`` (2 on ImageNet in Liu et al. 2019)
    scratch_total   the epochs of scratch_b and of fine-tuning: all the compute that went into a pruned network
    """
    same_compute = base * min(macs_ratio, limit)
    return {
        "none": 0,
        "recalibrate": 0,
        "finetune": finetune,
        "finetune_tuned": finetune,
        "scratch_paper": finetune,
        "scratch_e": base,
        "scratch_b": same_compute,
        "scratch_total": same_compute + finetune,
    }[recovery]
