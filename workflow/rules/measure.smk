"""Rules that train, prune and measure."""


rule data:
    """Load a data set once, split and normalised; image files are only listed."""
    output:
        f"{ROOT}/data/{{dataset}}.safetensors",
    log:
        f"{ROOT}/logs/data/{{dataset}}.log",
    conda:
        "../../environment.yml"
    params:
        suite=str(SUITE_FILE),
        digest=lambda w: SUITE.data_digest(w.dataset),
    script:
        "../scripts/data.py"


rule base:
    """Train the base networks of one model."""
    input:
        rules.data.output,
    output:
        f"{ROOT}/bases/{{dataset}}/{{label}}/{{seed}}.json",
    log:
        f"{ROOT}/logs/base/{{dataset}}/{{label}}/{{seed}}.log",
    priority: urgency
    conda:
        "../../environment.yml"
    resources:
        mem_mb=job_memory,
        runtime=job_runtime,
        gpu=GPU,
    params:
        suite=str(SUITE_FILE),
        digest=lambda w: SUITE.base_job_digest((w.dataset, w.label, w.seed)),
    script:
        "../scripts/base.py"


rule prune:
    """Score, prune, recover and measure: every run of one batch."""
    input:
        data=rules.data.output,
        bases=rules.base.output,
    output:
        f"{ROOT}/batches/{{dataset}}/{{label}}/{{seed}}/{{method}}/{{ratio}}.json",
    log:
        f"{ROOT}/logs/prune/{{dataset}}/{{label}}/{{seed}}/{{method}}/{{ratio}}.log",
    priority: urgency
    conda:
        "../../environment.yml"
    resources:
        mem_mb=job_memory,
        runtime=job_runtime,
        gpu=GPU,
    params:
        suite=str(SUITE_FILE),
        digest=lambda w: SUITE.prune_job_digest(
            (w.dataset, w.label, w.seed, w.method, w.ratio)
        ),
    script:
        "../scripts/prune.py"


rule latency:
    """Measure latencies while nothing else runs on the machine."""
    input:
        data_files,
        allocated_batch_files,
    output:
        f"{ROOT}/latency.json",
    log:
        f"{ROOT}/logs/latency.log",
    conda:
        "../../environment.yml"
    threads: workflow.cores if ON_THIS_MACHINE else 1
    resources:
        gpu=GPU,
    params:
        suite=str(SUITE_FILE),
        shapes=SUITE.latency_digest,
    script:
        "../scripts/latency.py"
