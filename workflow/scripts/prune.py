"""Carry out every run of one batch, and list their digests."""

import time
from pathlib import Path

from bench.files import write_json
from bench.runs.batches import run_batch
from bench.runs.job_log import job
from bench.runs.records import Store
from bench.suite.loading import load_suite
from bench.training.distributed import computing

with job(snakemake.log[0], snakemake.threads), computing(snakemake.config["device"], snakemake.resources):
    suite = load_suite(Path(snakemake.params.suite), snakemake.config.get("seeds"))
    w = snakemake.wildcards
    runs = suite.prune_jobs[w.dataset, w.label, w.seed, w.method, w.ratio]
    start = time.perf_counter()
    run_batch(suite, Store(Path(snakemake.config["results"], suite.suite)), runs)
    seconds = time.perf_counter() - start
    write_json(Path(snakemake.output[0]), {"digests": [suite.run_digest(run) for run in runs], "seconds": seconds})
