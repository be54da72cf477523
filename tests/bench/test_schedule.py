"""Every learning-rate schedule, against what its source says in iterations or epochs."""

import math
from itertools import pairwise

import pytest

from bench.schedule import SCHEDULES
from bench.specs import Training

EARLY = 1e-9  # just before a drop


def factors(schedule, *progress):
    return [SCHEDULES[schedule](each, 12345) for each in progress]


@pytest.mark.parametrize(
    ("schedule", "drops"),
    [
        ("constant", []),
        ("step", [1 / 2, 3 / 4]),
        ("step_last_fifth", [4000 / 5000]),
        ("step_thirds", [30 / 90, 60 / 90]),
        ("step_100k", [100 / 450, 200 / 450, 300 / 450, 400 / 450]),
    ],
)
def test_a_schedule_in_steps_drops_to_a_tenth_at_its_drops_and_nowhere_else(schedule, drops):
    for number, (start, end) in enumerate(pairwise([0.0, *drops, 1.0])):
        assert factors(schedule, start, end - EARLY) == pytest.approx([0.1**number] * 2)


def test_the_cosine_is_half_a_wave_from_one_to_zero():
    expected = [1, (2 + math.sqrt(3)) / 4, 3 / 4, 1 / 2, 1 / 4, 0]
    assert factors("cosine", 0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 1) == pytest.approx(expected, abs=1e-12)


def test_poly_is_the_square_root_of_what_is_left():
    assert factors("poly", 0, 0.19, 0.75, 0.9999) == pytest.approx([1, 0.9, 0.5, 0.01])


def test_inv_depends_on_the_step_only():
    """Caffe's LeNet solver: (1 + gamma * iteration) ** -power with gamma 0.0001 and power 0.75."""
    steps = (0, 10_000, 150_000)
    assert [SCHEDULES["inv"](progress, step) for step in steps for progress in (0.0, 0.9)] == pytest.approx(
        [1, 1, 2**-0.75, 2**-0.75, 1 / 8, 1 / 8]
    )


def test_a_suite_may_name_every_schedule_and_no_other():
    for schedule in SCHEDULES:
        assert Training(epochs=1, batch_size=1, learning_rate=1, schedule=schedule).schedule == schedule
    with pytest.raises(ValueError, match="schedule"):
        Training(epochs=1, batch_size=1, learning_rate=1, schedule="linear")
