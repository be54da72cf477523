"""Load a data set and store its splits."""

from pathlib import Path

from bench.runs.job_log import job
from bench.runs.stored_tensors import save_dataset
from bench.suite import plugins
from bench.suite.loading import load_suite

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.params.suite), snakemake.config.get("seeds"))
    spec = suite.dataset(snakemake.wildcards.dataset)
    load = plugins.load(plugins.DATASETS, spec.name).load
    save_dataset(Path(snakemake.output[0]), load(Path(snakemake.config["data"]), spec.split_seed, **spec.load_options))
