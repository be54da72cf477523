"""Gathering the records of a suite."""

from typing import Any

from bench.errors import UserError
from bench.store import Store, load_record
from bench.suite import Run, Suite


def records(suite: Suite, store: Store) -> dict[Run, dict[str, Any]]:
    """The record of every run; UserError that names the first one missing or out of date."""
    found = {}
    for run in suite.runs:
        record = load_record(store.record_of(run), suite.run_digest(run))
        if record is None:
            raise UserError(f"the record {store.record_of(run)} is missing or was made by other settings: run again")
        found[run] = record
    return found
