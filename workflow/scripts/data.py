"""Load a data set and store its splits."""

from pathlib import Path

from bench import plugins
from bench.config import load_suite
from bench.job import job
from bench.tensors import save_dataset

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.params.suite))
    spec = suite.dataset(snakemake.wildcards.dataset)
    load = plugins.load(plugins.DATASETS, spec.name).load
    save_dataset(Path(snakemake.output[0]), load(Path(snakemake.config["data"]), spec.split_seed, **spec.options))
