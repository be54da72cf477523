"""Progress of a whole workflow, one line at a time: jobs done, running and failed, and the time left.

It listens in Snakemake's main process to the events logged for logger plugins, which are the same for local and cluster
jobs. On a cluster, a queued job counts as running.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.training.telling import MARK, clock


class Dashboard(logging.Handler):
    """Counts jobs by rule and prints a line after every 2 % of the time so far: every 10 seconds to 10 minutes.

    jobs  rule -> number of jobs to do
    say   called with each line
    """

    def __init__(
        self, jobs: Mapping[str, int], say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.jobs, self.say, self.clock = dict(jobs), say, clock
        self.rules: dict[int, str] = {}
        self.logs: dict[int, list[str]] = {}
        self.running: dict[int, float] = {}
        self.failed: set[int] = set()
        self.seconds: dict[str, list[float]] = {}
        self.began = self.said = clock()
        self.on_event: dict[str, Callable[[logging.LogRecord], None]] = {
            "job_info": self._described,
            "job_started": self._started,
            "job_finished": self._finished,
            "job_error": self._failed,
        }
        threading.Thread(target=self._watch, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a logged event."""
        note = self.on_event.get(str(getattr(record, "event", "")))
        if note:
            note(record)
            self.tick()

    def tick(self) -> None:
        """Print a line if one is due."""
        now = self.clock()
        if now - self.said >= min(600.0, max(10.0, (now - self.began) / 50)):
            self._say(now)

    def _watch(self) -> None:
        while True:
            time.sleep(5)
            self.acquire()
            try:
                self.tick()
            finally:
                self.release()

    def _described(self, record: logging.LogRecord) -> None:
        self.rules[record.jobid] = record.rule_name  # type: ignore[attr-defined]
        self.logs[record.jobid] = list(getattr(record, "log", None) or ())  # type: ignore[attr-defined]

    def _started(self, record: logging.LogRecord) -> None:
        for job in record.jobs:  # type: ignore[attr-defined]
            self.running[job] = self.clock()
            self.failed.discard(job)  # retried

    def _finished(self, record: logging.LogRecord) -> None:
        job = record.job_id  # type: ignore[attr-defined]
        seconds = self.clock() - self.running.pop(job, self.clock())
        self.seconds.setdefault(self.rules.get(job, ""), []).append(seconds)
        if self._done == sum(self.jobs.values()):
            self._say(self.clock())

    def _failed(self, record: logging.LogRecord) -> None:
        job = record.jobid  # type: ignore[attr-defined]
        self.running.pop(job, None)
        self.failed.add(job)
        self._say(self.clock())

    @property
    def _done(self) -> int:
        return sum(map(len, self.seconds.values()))

    def _say(self, now: float) -> None:
        self.said = now
        self.say(
            f"[{clock(now - self.began)}] {self._done} of {sum(self.jobs.values())} jobs done, "
            f"{len(self.running)} running, {len(self.failed)} failed, {self._left(now)}" + self._longest()
        )

    def _longest(self) -> str:
        """Where the job is that has run for longest, if it trains a network for long and says so in its log."""
        job = min(self.running, key=self.running.__getitem__, default=-1)
        told = filter(None, (last_line(Path(log), MARK) for log in self.logs.get(job, ())))
        return next((f"; job {job}: {line.removeprefix(MARK)}" for line in told), "")

    def _left(self, now: float) -> str:
        """Time left if each job takes its rule's mean so far (or that of all rules), as many in parallel as now."""
        if self._done == sum(self.jobs.values()):
            return "none left"
        if not self._done:
            return "time left unknown"
        overall = sum(map(sum, self.seconds.values())) / self._done
        seconds = 0.0
        for rule, count in self.jobs.items():
            finished = self.seconds.get(rule, [])
            mean = sum(finished) / len(finished) if finished else overall
            under_way = [now - start for job, start in self.running.items() if self.rules.get(job) == rule]
            waiting = count - len(finished) - len(under_way) - sum(self.rules.get(job) == rule for job in self.failed)
            seconds += mean * max(0, waiting) + sum(max(0.0, mean - spent) for spent in under_way)
        return f"about {clock(seconds / max(1, len(self.running)))} left"


def last_line(path: Path, start: str) -> str:
    """The last line of a log, if it begins with ``start``; else, or if there is no log, nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1] if lines and lines[-1].startswith(start) else ""
