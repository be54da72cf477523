"""Learning-rate schedules as functions of progress."""

import math
from collections.abc import Callable

Schedule = Callable[[float, int], float]
"""(progress in [0, 1), step) -> factor on the initial learning rate."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda progress, step: 1.0,
    # A tenth at half and at three quarters: Liu et al. 2019, and the usual CIFAR schedule.
    "step": lambda progress, step: 0.1 ** ((progress >= 0.5) + (progress >= 0.75)),
    # A tenth for the last fifth: Caffe's cifar10_quick, 4,000 iterations and 1,000.
    "step_last_fifth": lambda progress, step: 0.1 ** (progress >= 0.8),
    # A tenth after each third: the usual ImageNet schedule, 90 epochs with drops after 30 and 60.
    "step_thirds": lambda progress, step: 0.1 ** ((progress >= 1 / 3) + (progress >= 2 / 3)),
    # A tenth every 100,000 of 450,000 iterations: Caffe's AlexNet solver, in shares of the training.
    "step_100k": lambda progress, step: 0.1 ** math.floor(progress * 4.5),
    "cosine": lambda progress, step: 0.5 * (1 + math.cos(math.pi * progress)),
    # Caffe's "inv" with the LeNet solver's gamma and power.
    "inv": lambda progress, step: (1 + 1e-4 * step) ** -0.75,
    # Caffe's "poly" with the quick GoogLeNet solver's power.
    "poly": lambda progress, step: math.sqrt(1 - progress),
}
