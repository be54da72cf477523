"""Build, prune and measure every network of the paper's Table 1."""

from pathlib import Path

from bench.answers import tables
from bench.files import write_text
from bench.runs.job_log import job
from bench.runs.table1 import COSTS, as_latex, as_markdown, as_text, table1_costs
from bench.runs.variants import load_variants

with job(snakemake.log[0], snakemake.threads):
    costs = table1_costs(load_variants(Path(snakemake.input.variants)).variants)
    tables.write(costs, COSTS, Path(snakemake.output.csv))
    write_text(Path(snakemake.output.markdown), as_markdown(costs))
    write_text(Path(snakemake.output.latex), as_latex(costs))
    print(as_text(costs))
