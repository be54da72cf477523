"""data -> base -> prune -> latency -> collect -> analyse -> figures -> report, for the suite named in the config.

Results lie in results/<suite>/: data, bases, records, tables, figures, logs and report.html.
"""

import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)


configfile: workflow.source_path("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/answer.smk"
include: "workflow/rules/paper.smk"


rule all:
    default_target: True
    input:
        f"{ROOT}/report.html",


rule tables:
    input:
        f"{ROOT}/tables/verdicts.csv",


onstart:
    begin()


onsuccess:
    print_answer()
