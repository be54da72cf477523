"""How many published networks can be scored, pruned, saved and reloaded, next to torch-pruning's own pruner.

    python -m benchmarks.coverage                              # all of zoo.csv, some hours on one core
    python -m benchmarks.coverage --only resnet18 vit_b_16     # some, by name
    python -m benchmarks.coverage --sources video own          # some, by where they come from

Each network runs in its own process with limited time and memory. Finished records are kept in results/coverage until
the code that made them changes, so a run that was stopped continues where it was. Those that ran out of time are
tried again when there is more of it.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.files import read_json_if_valid, write_json, write_text
from benchmarks.coverage import record, table
from benchmarks.coverage.zoo import SOURCES, Subject, subjects
from nisp.errors import UserError

REFERENCE = Path("results/reference/coverage")
RECORDS = Path("results/coverage")
CHECKS = ("ours", "peer")
UPSTREAM = Path("docs/upstream.md")
MARKS = ("<!-- torch-pruning failures -->", "<!-- /torch-pruning failures -->")


def main(arguments: list[str] | None = None) -> None:
    """Check the networks that have no finished record, and write the tables."""
    given = _parser().parse_args(arguments)
    try:
        chosen = subjects(given.only, given.sources)
    except UserError as error:
        sys.exit(f"error: {error}")
    small = [subject for subject in chosen if not given.largest or subject.params_m <= given.largest]
    for check in given.checks:
        for index, subject in enumerate(small, 1):
            _check(check, subject, given, f"[{check} {index}/{len(small)}] {subject.source}/{subject.model}")
    rows, peers = _rows(chosen, given)
    out = given.out or (RECORDS if given.only or set(given.sources) != set(SOURCES) else REFERENCE)
    table.write(out / "coverage.csv", table.COLUMNS, rows)
    table.write(out / "torch_pruning.csv", table.PEER_COLUMNS, peers)
    if out == REFERENCE:
        _document(peers)
    print(table.summary(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="MODEL", help="names; tables go to results/coverage")
    parser.add_argument("--sources", nargs="+", default=SOURCES, choices=SOURCES, help="tables go to results/coverage")
    parser.add_argument("--largest", type=float, metavar="M", help="skip networks of more million parameters")
    parser.add_argument("--seconds", type=float, default=600, help="limit of one network (600)")
    parser.add_argument("--peer-seconds", type=float, help="the same for torch-pruning (as --seconds)")
    parser.add_argument("--memory", type=float, default=10, metavar="GB", help="limit of one network (10)")
    parser.add_argument("--checks", nargs="+", default=CHECKS, choices=CHECKS)
    parser.add_argument(
        "--any-code", nargs="+", default=(), choices=CHECKS, help="keep finished records of these that other code made"
    )
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the finished records")
    parser.add_argument("--out", type=Path, help=f"where the tables go ({REFERENCE})")
    return parser


def _path(given: argparse.Namespace, check: str, subject: Subject) -> Path:
    return given.records / check / subject.source / f"{subject.model}.json"


def _seconds(given: argparse.Namespace, check: str) -> float:
    return given.peer_seconds if check == "peer" and given.peer_seconds else given.seconds


def _finished(given: argparse.Namespace, check: str, subject: Subject) -> table.Row | None:
    return record.finished(_path(given, check, subject), check in given.any_code, _seconds(given, check))


def _check(check: str, subject: Subject, given: argparse.Namespace, label: str) -> None:
    """Run one check of one network, unless its record is finished."""
    path = _path(given, check, subject)
    if _finished(given, check, subject) is not None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.coverage.child", check, subject.source, subject.model]
    start = time.perf_counter()
    with path.with_suffix(".log").open("w") as log:
        try:
            ended = subprocess.run(
                [*command, str(path.absolute()), str(given.memory)],
                stdout=log, stderr=log, timeout=_seconds(given, check), cwd=record.ROOT,
            )  # fmt: skip
            if ended.returncode:
                _stopped(path, f"crash: the process ended with status {ended.returncode}")
        except subprocess.TimeoutExpired:
            limit = _seconds(given, check)
            _stopped(path, f"timeout: not done after {limit:g} s", limit)
    content = read_json_if_valid(path)
    print(f"{label}: {content['row']['failure'] or 'ok'} ({time.perf_counter() - start:.0f} s)", flush=True)


def _stopped(path: Path, failure: str, limit: float | None = None) -> None:
    """Finish the record of a process that stopped early; it may have no record, or a finished one.

    limit: the seconds that it had, if these ran out.
    """
    content: dict[str, Any] = read_json_if_valid(path) or {"row": {"failure": ""}, "code": {}}
    if content.get("finished"):
        return
    step = content["row"].pop("stage", "start")
    content["row"]["failure"] = record.joined(content["row"]["failure"], f"{failure} in step '{step}'")
    write_json(path, content | {"finished": True, "ran_out_of": limit})


def _rows(chosen: list[Subject], given: argparse.Namespace) -> tuple[list[table.Row], list[table.Row]]:
    """The rows of both tables; a network without a finished record is listed as not run."""
    rows, peers = [], []
    for subject in sorted(chosen, key=lambda subject: (SOURCES.index(subject.source), subject.model)):
        known = {"model": subject.model, "source": subject.source, "params_m": subject.params_m}
        unknown = {"failure": "not run"}
        peer = _finished(given, "peer", subject) or unknown
        ours = _finished(given, "ours", subject) or unknown
        theirs = {"torch_pruning": peer.get("torch_pruning"), "peer_params_left": peer.get("params_left")}
        rows.append(ours | known | theirs)
        peers.append(peer | known)
    return rows, peers


def _document(peers: list[table.Row]) -> None:
    """Put torch-pruning's failures between the marks of docs/upstream.md."""
    before, rest = UPSTREAM.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    write_text(UPSTREAM, f"{before}{MARKS[0]}\n{table.upstream(peers)}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
