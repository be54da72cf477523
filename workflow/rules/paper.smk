"""Tables of the paper that need neither data nor training."""

from pathlib import Path

from bench.suite.fingerprints import fingerprint, modules

PAPER = f"{config['results']}/paper"


rule table1_costs:
    """FLOPs and parameters of every pruned network in the paper's Table 1, next to the paper's numbers."""
    input:
        variants=str(Path(workflow.basedir, "config/variants/table1.yaml")),
    output:
        csv=f"{PAPER}/tables/table1_costs.csv",
        markdown=f"{PAPER}/tables/table1_costs.md",
        latex=f"{PAPER}/tables/table1_costs.tex",
    log:
        f"{PAPER}/logs/table1_costs.log",
    conda:
        "../../environment.yml"
    params:
        code=fingerprint("workflow/scripts/table1_costs.py", *modules("bench/models")),
    script:
        "../scripts/table1_costs.py"
