"""Collect the records into runs.csv, curves.csv and refits.csv."""

from pathlib import Path

from bench.answers import tables
from bench.files import read_sealed, write_sealed
from bench.runs.job_log import job
from bench.runs.provenance import provenance
from bench.runs.records import Store, records_of
from bench.suite.loading import load_suite

with job(snakemake.log[0]):
    suite = load_suite(Path(snakemake.input.suite), snakemake.config.get("seeds"))
    latencies = read_sealed(Path(snakemake.input.latency[0]))["rows"]
    records = records_of(suite, Store(Path(snakemake.config["results"], suite.suite)), suite.runs)
    runs, curves, refits = tables.collected(suite, records, latencies)
    tables.write(runs, tables.RUNS, Path(snakemake.output.runs))
    tables.write(curves, tables.CURVES, Path(snakemake.output.curves))
    tables.write(refits, tables.REFITS, Path(snakemake.output.refits))
    write_sealed(Path(snakemake.output.provenance), provenance(Path(snakemake.input.suite), records.values()))
