"""Learning-rate schedules as functions of progress."""

import math
from collections.abc import Callable

Schedule = Callable[[float, int], float]
"""(progress in [0, 1), step) -> factor on the initial learning rate."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda progress, step: 1.0,
    # A tenth at half and at three quarters: Liu et al. 2019, and the usual CIFAR schedule.
    "step": lambda progress, step: 0.1 ** ((progress >= 0.5) + (progress >= 0.75)),
    "cosine": lambda progress, step: 0.5 * (1 + math.cos(math.pi * progress)),
    # Caffe's "inv" with the LeNet solver's gamma and power.
    "inv": lambda progress, step: (1 + 1e-4 * step) ** -0.75,
}
