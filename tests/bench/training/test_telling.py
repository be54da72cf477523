"""A long training tells where it is; a short one does not."""

from bench.training.telling import Telling


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_every_ten_seconds_or_so_a_line_with_the_time_left(capsys):
    clock = Clock()
    telling = Telling(4, 20, clock)
    for epoch in range(5, 21):
        clock.now += 4
        telling.epoch(epoch, 0.8125, 86.456)
    assert capsys.readouterr().err.splitlines() == [
        f"training: epoch {epoch} of 20, loss 0.812, top-1 86.46 %, 0:00:{4 * (20 - epoch):02} left"
        for epoch in (7, 10, 13, 16, 19)
    ]


def test_hours_are_told_as_such(capsys):
    clock = Clock()
    telling = Telling(0, 160, clock)
    clock.now += 60
    telling.epoch(1, 2.3, 10.0)
    assert "2:39:00 left" in capsys.readouterr().err


def test_nothing_of_a_short_training(capsys):
    telling = Telling(0, 3)
    for epoch in (1, 2, 3):
        telling.epoch(epoch, 1.0, 50.0)
    assert not capsys.readouterr().err
