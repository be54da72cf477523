import pytest

from bench.recovery import epochs_of


@pytest.mark.parametrize(
    ("recovery", "macs_ratio", "expected"),
    [
        ("none", 4, 0),
        ("recalibrate", 4, 0),
        ("finetune", 4, 40),
        ("finetune_tuned", 4, 40),
        ("scratch_paper", 4, 40),
        ("scratch_e", 4, 160),
        ("scratch_b", 1.5, 240),
        ("scratch_b", 4, 320),
        ("scratch_total", 1.5, 280),
        ("scratch_total", 4, 360),
    ],
)
def test_epochs_are_those_of_the_protocol(recovery, macs_ratio, expected):
    assert epochs_of(recovery, base=160, finetune=40, macs_ratio=macs_ratio, limit=2) == expected
