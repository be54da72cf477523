"""Where a suite's results lie, and the record of each run; nothing here needs torch.

Each file carries the digest of all it depends on. A file with another digest, or a broken one, counts as missing and
is made anew; so a killed job, started again, does only what is left.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import read_json_if_valid, write_json
from bench.suite import Run, Suite


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
        cell = (run.dataset, run.model.label, str(run.seed), run.method, f"{run.cut}.json")
        return self.root.joinpath("records", *cell)


def save_record(path: Path, digest: str, measured: dict[str, Any], origin: dict[str, Any]) -> None:
    """What was measured of one run (the fields of bench.experiment.Result), and the code and machine that made it."""
    write_json(path, {"digest": digest, **measured, "origin": origin})


def load_record(path: Path, digest: str) -> dict[str, Any] | None:
    """The record saved under the same digest, or None."""
    content = read_json_if_valid(path)
    return content if isinstance(content, dict) and content.get("digest") == digest else None


def all_records(suite: Suite, store: Store) -> dict[Run, dict[str, Any]]:
    """The record of every run; UserError that names the first one missing or out of date."""
    found = {}
    for run in suite.runs:
        record = load_record(store.record_of(run), suite.run_digest(run))
        if record is None:
            raise UserError(f"the record {store.record_of(run)} is missing or was made by other settings: run again")
        found[run] = record
    return found
