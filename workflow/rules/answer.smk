"""Rules that turn records into tables, figures and the report."""

from pathlib import Path

from bench.suite.fingerprints import fingerprint, modules


rule collect:
    """One table of all runs, one of all learning curves, and one of least-squares results by layer."""
    input:
        suite=SUITE_FILE,
        batches=batch_files,
        latency=rules.latency.output,
    output:
        runs=f"{ROOT}/tables/runs.csv",
        curves=f"{ROOT}/tables/curves.csv",
        refits=f"{ROOT}/tables/refits.csv",
        provenance=f"{ROOT}/tables/provenance.json",
    log:
        f"{ROOT}/logs/collect.log",
    conda:
        "../../environment.yml"
    params:
        code=fingerprint("workflow/scripts/collect.py"),
    script:
        "../scripts/collect.py"


rule analyse:
    """Verdicts on the suite's questions, how stable the rankings are, and the effects on accuracy."""
    input:
        suite=SUITE_FILE,
        runs=rules.collect.output.runs,
    output:
        verdicts=f"{ROOT}/tables/verdicts.csv",
        stability=f"{ROOT}/tables/stability.csv",
        effects=f"{ROOT}/tables/effects.csv",
        text=f"{ROOT}/tables/verdicts.txt",
    log:
        f"{ROOT}/logs/analyse.log",
    conda:
        "../../environment.yml"
    params:
        code=fingerprint("workflow/scripts/analyse.py"),
    script:
        "../scripts/analyse.py"


FIGURE_TABLES = [
    rules.collect.output.runs,
    rules.collect.output.curves,
    rules.analyse.output.verdicts,
    rules.analyse.output.effects,
]


rule draw:
    """Every figure, as PDF and PNG, from the tables alone."""
    input:
        suite=SUITE_FILE,
        tables=FIGURE_TABLES,
    output:
        captions=f"{ROOT}/figures/captions.json",
    log:
        f"{ROOT}/logs/draw.log",
    conda:
        "../../environment.yml"
    params:
        code=fingerprint("workflow/scripts/draw.py", *modules("bench/figures")),
    script:
        "../scripts/draw.py"


rule figures:
    """Draw the figures again from existing tables; make missing tables first."""
    input:
        suite=SUITE_FILE,
        tables=lambda wildcards: [
            table for table in FIGURE_TABLES if not Path(table).exists()
        ],
    log:
        f"{ROOT}/logs/figures.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/draw.py"


rule report:
    """The answer: one self-contained page."""
    input:
        suite=SUITE_FILE,
        runs=rules.collect.output.runs,
        verdicts=rules.analyse.output.verdicts,
        stability=rules.analyse.output.stability,
        provenance=rules.collect.output.provenance,
        captions=rules.draw.output.captions,
    output:
        f"{ROOT}/report.html",
    log:
        f"{ROOT}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        code=fingerprint("workflow/scripts/report.py", "workflow/report/report.html.j2"),
    script:
        "../scripts/report.py"
