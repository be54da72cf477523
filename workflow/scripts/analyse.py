"""Answer the suite's questions from runs.csv, and tell effects apart."""

from pathlib import Path

from bench import tables
from bench.answers import reductions
from bench.config import load_suite
from bench.effects import EFFECTS, effects
from bench.files import write_text
from bench.job import job
from bench.stability import STABILITY, stability
from bench.verdicts import as_text, verdicts

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.input.suite))
    runs = tables.read(Path(snakemake.input.runs), tables.RUNS)
    answers = verdicts(suite, runs)
    tables.write(answers, tables.VERDICTS, Path(snakemake.output.verdicts))
    tables.write(stability(runs), STABILITY, Path(snakemake.output.stability))
    tables.write(effects(suite, runs), EFFECTS, Path(snakemake.output.effects))
    write_text(Path(snakemake.output.text), as_text(suite, answers, reductions(runs)))
