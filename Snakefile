"""data -> base -> prune -> latency -> collect -> analyse -> figures -> report, for the suite named in the config."""

import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake.utils import min_version

sys.path.insert(0, workflow.basedir)

from bench.suite.loading import check_settings, load_suite, loaded
from bench.runs.dashboard import Dashboard
from bench.training.devices import visible_gpus
from nisp.errors import UserError
from bench.suite.cost_estimates import COST_FILE, CostTable, as_sentence, estimated
from bench.files import check_writable
from bench.suite.fingerprints import fingerprint
from bench.suite.resources import memory_mb, runtime_minutes, urgencies

min_version("9.0")


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


if DRY_RUN:
    print_estimate()


onstart:
    begin()


onsuccess:
    print_answer()
