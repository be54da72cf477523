"""Paths of a suite's results, and the record of each run; needs no torch.

Each file carries a checksum and the digest of everything it depends on. A damaged file, or one with another digest,
counts as missing and is made again, so a job that was killed does only the rest when it is restarted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import read_sealed_if_valid, write_sealed
from bench.suite.grid import Job, Run
from bench.suite.schema import Suite
from nisp.errors import UserError


@dataclass(frozen=True)
class Store:
    """The directory results/<suite>."""

    root: Path

    def data(self, dataset: str) -> Path:
        """A data set's splits."""
        return self.root / "data" / f"{dataset}.safetensors"

    def base(self, dataset: str, label: str, seed: int) -> Path:
        """Weights of a base network."""
        return self.root / "bases" / dataset / label / f"{seed}.safetensors"

    def record_of(self, run: Run) -> Path:
        """What was measured of one run."""
        cell = (run.dataset, run.model.label, str(run.seed), run.method, f"{run.target}.json")
        return self.root.joinpath("records", *cell)

    def mark_of(self, job: Job) -> Path:
        """The done-marker of a job, which tells Snakemake that all its records exist."""
        return self.root.joinpath("batches", *job[:-1], f"{job[-1]}.json")


def save_record(path: Path, digest: str, measured: dict[str, Any], origin: dict[str, Any]) -> None:
    """Save what was measured of one run (bench.runs.experiment.Result), and the code and machine that made it."""
    write_sealed(path, {"digest": digest, **measured, "origin": origin})


def load_record(path: Path, digest: str) -> dict[str, Any] | None:
    """The record saved under the same digest, or None."""
    content = read_sealed_if_valid(path)
    return content if content is not None and content["digest"] == digest else None


def records_of(suite: Suite, store: Store, runs: Iterable[Run]) -> dict[Run, dict[str, Any]]:
    """The record of each of ``runs``.

    UserError that counts those missing, damaged or out of date, and names the first. Deletes the done-markers of their
    jobs, so that the next start recomputes only these records.
    """
    found = {run: load_record(store.record_of(run), suite.run_digest(run)) for run in runs}
    lost = [run for run, record in found.items() if record is None]
    for job in dict.fromkeys(map(suite.job_of, lost)):
        store.mark_of(job).unlink(missing_ok=True)
    if lost:
        raise UserError(
            f"{len(lost)} of {len(found)} records are missing, damaged or made with other settings, the first is "
            f"{store.record_of(lost[0])}: run again to recompute them"
        )
    return {run: record for run, record in found.items() if record is not None}
