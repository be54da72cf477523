"""Draw every figure from the tables."""

from pathlib import Path

from bench import tables
from bench.config import load_suite
from bench.figures import draw_all
from bench.files import write_json
from bench.job import job

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.params.suite))
    done = Path(snakemake.output[0])
    runs = tables.read(Path(snakemake.input.runs), tables.RUNS)
    curves = tables.read(Path(snakemake.input.curves), tables.CURVES)
    verdicts = tables.read(Path(snakemake.input.verdicts), tables.VERDICTS)
    write_json(done, draw_all(suite, runs, curves, verdicts, done.parent))
