"""Write the report."""

from pathlib import Path

from bench.answers import tables
from bench.answers.report import page
from bench.answers.stability import STABILITY
from bench.files import read_sealed, write_text
from bench.runs.job_log import job
from bench.suite.loading import load_suite

with job(snakemake.log[0]):
    paths = snakemake.input
    html = page(
        suite=load_suite(Path(paths.suite), snakemake.config.get("seeds")),
        runs=tables.read(Path(paths.runs), tables.RUNS),
        verdicts=tables.read(Path(paths.verdicts), tables.VERDICTS),
        stability=tables.read(Path(paths.stability), STABILITY),
        provenance=read_sealed(Path(paths.provenance)),
        captions=read_sealed(Path(paths.captions)),
        figures=Path(paths.captions).parent,
    )
    write_text(Path(snakemake.output[0]), html)
