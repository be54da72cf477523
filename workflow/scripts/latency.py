"""Measure the latency of every shape of network in the suite."""

import time
from pathlib import Path

from bench.files import write_sealed
from bench.runs.job_log import job
from bench.runs.latency import measure_latencies
from bench.runs.records import Store
from bench.suite.loading import load_suite
from bench.training.distributed import computing

with job(snakemake.log[0], threads=1), computing(snakemake.config["device"], snakemake.resources):
    suite = load_suite(Path(snakemake.params.suite), snakemake.config.get("seeds"))
    start = time.perf_counter()
    rows = measure_latencies(suite, Store(Path(snakemake.config["results"], suite.suite)))
    write_sealed(Path(snakemake.output[0]), {"rows": rows, "seconds": time.perf_counter() - start})
