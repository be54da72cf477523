"""Draw every figure from the tables."""

from pathlib import Path

from bench.answers import tables
from bench.answers.effects import EFFECTS
from bench.figures import draw_all
from bench.figures._results import Results
from bench.runs.job_log import job
from bench.suite.loading import load_suite

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.input.suite), snakemake.config.get("seeds"))
    root = Path(snakemake.config["results"], suite.suite)
    results = Results(
        suite=suite,
        runs=tables.labelled(tables.read(root / "tables/runs.csv", tables.RUNS)),
        curves=tables.labelled(tables.read(root / "tables/curves.csv", tables.CURVES)),
        verdicts=tables.read(root / "tables/verdicts.csv", tables.VERDICTS),
        effects=tables.read(root / "tables/effects.csv", EFFECTS),
    )
    draw_all(results, root / "figures")
