"""Answer the suite's questions from runs.csv, and separate effects."""

from pathlib import Path

from bench.answers import tables
from bench.answers.effects import EFFECTS, effects
from bench.answers.sentences import reductions
from bench.answers.stability import STABILITY, stability
from bench.answers.terminal import as_text
from bench.answers.verdicts import verdicts
from bench.files import write_text
from bench.runs.job_log import job
from bench.suite.loading import load_suite

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.input.suite), snakemake.config.get("seeds"))
    runs = tables.read(Path(snakemake.input.runs), tables.RUNS)
    answers = verdicts(suite, runs)
    tables.write(answers, tables.VERDICTS, Path(snakemake.output.verdicts))
    tables.write(stability(runs), STABILITY, Path(snakemake.output.stability))
    tables.write(effects(suite, runs), EFFECTS, Path(snakemake.output.effects))
    write_text(Path(snakemake.output.text), as_text(suite, answers, reductions(runs)))
