"""The suite, the paths of its results, and its jobs."""

import atexit
import gc
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import Quietness

from bench.files import check_writable
from bench.runs.dashboard import Dashboard
from bench.suite.cost_estimates import COST_FILE, CostTable, as_sentence, estimated
from bench.suite.loading import check_settings, load_suite, loaded
from bench.suite.resources import memory_mb, runtime_minutes, urgencies
from bench.suite.settings import expanded, suite_file
from bench.training.devices import visible_gpus
from nisp.errors import UserError

# The plan of 10,000 jobs holds millions of objects that stay: looking through them for garbage took a sixth of its time.
gc.set_threshold(100_000, 50, 100)

try:
    check_settings(
        config, Path(workflow.basedir, "workflow/schemas/config.schema.yaml")
    )
    # In place, because scripts read these settings too.
    config.update(expanded(config))
    SUITE_FILE = suite_file(config["suite"], Path(workflow.basedir, "config/suites"))
except UserError as error:
    raise WorkflowError(str(error))
config.setdefault("device", "auto")

try:
    SUITE = load_suite(SUITE_FILE, config.get("seeds"))
    COSTS = loaded(COST_FILE, CostTable, "cost table")
except UserError as error:
    raise WorkflowError(str(error))

ROOT = f"{config['results']}/{SUITE.suite}"
URGENCIES = urgencies(SUITE)
STARTED = time.time()
QUIETLY = {"quietness": Quietness.PROGRESS}

# Jobs that run networks take one GPU each if this machine has any; on a cluster, the profile sets how many.
GPU = int(
    config["device"] == "cuda" or (config["device"] == "auto" and visible_gpus() != [])
)
ON_THIS_MACHINE = workflow.nodes is None
if ON_THIS_MACHINE and "gpu" not in workflow.global_resources:
    # At most as many run at once as there are GPUs, unless `--resources gpu=` says otherwise.
    workflow.register_resource("gpu", max(1, len(visible_gpus())))


wildcard_constraints:
    dataset=r"[^/]+",
    label=r"[^/]+",
    seed=r"\d+|all",
    method=r"[^/]+",
    ratio=r"[^/]+",


def batch_files(wildcards):
    """The done-markers of all prune jobs."""
    return [f"{ROOT}/batches/{'/'.join(job)}.json" for job in SUITE.prune_jobs]


def allocated_batch_files(wildcards):
    """The done-markers of jobs whose networks' shapes are known only afterwards."""
    jobs = dict.fromkeys(SUITE.job_of(run) for run in SUITE.allocated_runs)
    return [f"{ROOT}/batches/{'/'.join(job)}.json" for job in jobs]


def data_files(wildcards):
    return [f"{ROOT}/data/{spec.name}.safetensors" for spec in SUITE.datasets]


def job_memory(wildcards, input, attempt):
    """Megabytes; unknown before the data exist."""
    data = input[0]
    # Asking Snakemake for the size of local files would take a sixth of the time to plan 10,000 jobs.
    size_mb = input.size_mb if data.is_storage else Path(data).stat().st_size / 1e6
    return memory_mb(SUITE, COSTS, job_of(wildcards), size_mb, attempt)


def job_runtime(wildcards, attempt):
    """Minutes."""
    return runtime_minutes(SUITE, COSTS, job_of(wildcards), attempt)


def job_of(wildcards):
    """The key of a base or prune job in the suite."""
    return tuple(
        wildcards[name]
        for name in ("dataset", "label", "seed", "method", "ratio")
        if name in wildcards.keys()
    )


def urgency(wildcards):
    """Priority: the longest jobs first."""
    return URGENCIES[job_of(wildcards)]


@atexit.register
def print_estimate():
    """Print the estimated GPU hours after the plan of a dry run, however it was requested."""
    if workflow.dryrun:
        print(as_sentence(SUITE, estimated(SUITE, COSTS)), file=sys.stderr)


def begin():
    """Before the first job: check that results can be written, and start printing progress."""
    try:
        check_writable(Path(ROOT))
    except UserError as error:
        raise WorkflowError(str(error))
    counts = {rule: n for rule, n in workflow.dag.stats()[1].items() if rule != "total"}
    logger.addHandler(Dashboard(counts, lambda line: logger.info(line, extra=QUIETLY)))


def print_answer():
    """Print the verdict table and the path of the report at the end of a run that made them."""
    table, page = Path(ROOT, "tables/verdicts.txt"), Path(ROOT, "report.html")
    if page.exists() and page.stat().st_mtime >= STARTED:
        print("", table.read_text(), f"The report is {page}", sep="\n")
