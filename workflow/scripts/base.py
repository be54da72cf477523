"""Train the base networks of one model, and list them."""

import time
from pathlib import Path

from bench.files import write_json
from bench.runs.bases import train_bases
from bench.runs.job_log import job
from bench.runs.records import Store
from bench.suite.loading import load_suite
from bench.training.distributed import computing

with job(snakemake.log[0], snakemake.threads), computing(snakemake.config["device"], snakemake.resources):
    suite = load_suite(Path(snakemake.params.suite), snakemake.config.get("seeds"))
    dataset, label, token = snakemake.wildcards.dataset, snakemake.wildcards.label, snakemake.wildcards.seed
    bases = suite.base_jobs[dataset, label, token]
    seeds = [seed for _, _, seed in bases]
    start = time.perf_counter()
    train_bases(suite, Store(Path(snakemake.config["results"], suite.suite)), dataset, bases[0][1], seeds)
    write_json(Path(snakemake.output[0]), {"seeds": seeds, "seconds": time.perf_counter() - start})
