import logging
import re

import pytest

from bench.runs.dashboard import Dashboard


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def said():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def dashboard(said, clock):
    return Dashboard({"base": 2, "prune": 8}, said.append, clock)


def tell(dashboard, event, **fields):
    dashboard.emit(logging.makeLogRecord({"event": event, **fields}))


def begin(dashboard, *jobs, rule):
    tell(dashboard, "job_started", jobs=list(jobs))
    for job in jobs:
        tell(dashboard, "job_info", jobid=job, rule_name=rule)


def test_it_counts_and_estimates_by_rule(dashboard, said, clock):
    begin(dashboard, 1, 2, rule="base")
    clock.now = 20
    tell(dashboard, "job_finished", job_id=1)
    assert said.pop() == "[0:00:20] 1 of 10 jobs done, 1 running, 0 failed, about 0:02:40 left"
    tell(dashboard, "job_finished", job_id=2)
    begin(dashboard, 3, 4, rule="prune")
    clock.now = 120
    tell(dashboard, "job_finished", job_id=3)
    # Six jobs of 100 seconds wait, the one under way has spent its 100; one at a time.
    assert said.pop() == "[0:02:00] 3 of 10 jobs done, 1 running, 0 failed, about 0:10:00 left"


def test_a_failure_is_told_at_once_and_forgotten_when_the_job_is_tried_again(dashboard, said, clock):
    begin(dashboard, 1, rule="base")
    clock.now = 1
    tell(dashboard, "job_error", jobid=1)
    assert said.pop() == "[0:00:01] 0 of 10 jobs done, 0 running, 1 failed, time left unknown"
    begin(dashboard, 1, rule="base")
    clock.now = 15
    dashboard.tick()
    assert said.pop() == "[0:00:15] 0 of 10 jobs done, 1 running, 0 failed, time left unknown"


def test_the_last_job_is_told(dashboard, said, clock):
    for job in range(10):
        begin(dashboard, job, rule="base" if job < 2 else "prune")
        tell(dashboard, "job_finished", job_id=job)
    assert said == ["[0:00:00] 10 of 10 jobs done, 0 running, 0 failed, none left"]


def test_lines_are_few_in_long_runs_and_other_records_are_let_by(dashboard, said, clock):
    begin(dashboard, 1, rule="base")
    for clock.now in range(0, 100_000, 5):
        dashboard.tick()
        dashboard.emit(logging.makeLogRecord({"msg": "else"}))
    assert 150 < len(said) < 500 and all(re.match(r"\[\d+:\d\d:\d\d\] 0 of 10", line) for line in said)


def test_it_tells_where_the_longest_running_training_is(dashboard, said, clock, tmp_path):
    log = tmp_path / "base.log"
    told = "training: epoch 12 of 160, loss 0.8, top-1 86.00 %, 0:23:10 left"
    log.write_text(f"training resnet-56 on cifar10: 1/3, 9 s left\n{told}\n")
    begin(dashboard, 1, rule="base")
    tell(dashboard, "job_info", jobid=1, rule_name="base", log=[str(log)])
    clock.now = 20
    dashboard.tick()
    assert said.pop().endswith("time left unknown; job 1: epoch 12 of 160, loss 0.8, top-1 86.00 %, 0:23:10 left")
    log.write_text("something else\n")
    clock.now = 40
    dashboard.tick()
    assert said.pop().endswith("1 running, 0 failed, time left unknown")
    log.unlink()
    clock.now = 60
    dashboard.tick()
    assert said.pop().endswith("time left unknown")
