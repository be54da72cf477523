"""Rules that turn records into tables, figures and the report."""


rule collect:
    """One table of all runs and one of all learning curves."""
    input:
        batches=batch_files,
        latency=rules.latency.output,
    output:
        runs=f"{ROOT}/tables/runs.csv",
        curves=f"{ROOT}/tables/curves.csv",
        provenance=f"{ROOT}/tables/provenance.json",
    params:
        suite=str(SUITE_FILE),
        root=ROOT,
    log:
        f"{ROOT}/logs/collect.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/collect.py"


rule analyse:
    """Verdicts on the suite's questions, and how stable the rankings are."""
    input:
        runs=rules.collect.output.runs,
    output:
        verdicts=f"{ROOT}/tables/verdicts.csv",
        stability=f"{ROOT}/tables/stability.csv",
        text=f"{ROOT}/tables/verdicts.txt",
    params:
        suite=str(SUITE_FILE),
    log:
        f"{ROOT}/logs/analyse.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/analyse.py"


rule draw:
    """Every figure, as PDF and PNG, from the tables alone."""
    input:
        runs=rules.collect.output.runs,
        curves=rules.collect.output.curves,
        verdicts=rules.analyse.output.verdicts,
    output:
        f"{ROOT}/figures/done.json",
    params:
        suite=str(SUITE_FILE),
    log:
        f"{ROOT}/logs/draw.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/draw.py"


rule report:
    """The answer: one self-contained page."""
    input:
        runs=rules.collect.output.runs,
        verdicts=rules.analyse.output.verdicts,
        stability=rules.analyse.output.stability,
        provenance=rules.collect.output.provenance,
        figures=rules.draw.output,
    output:
        f"{ROOT}/report.html",
    params:
        suite=str(SUITE_FILE),
    log:
        f"{ROOT}/logs/report.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/report.py"
