"""The suites that come with the project: the paper's variants in them, and what a plan says of its cost."""

import fnmatch
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import torch

from bench.runs.plans import channels_to_keep
from bench.runs.variants import load_variants, variant_plan
from bench.suite import plugins
from bench.suite.cost_estimates import COST_FILE, CostTable, as_sentence, estimated
from bench.suite.loading import load_suite, loaded
from nisp.pruning.surgery import anatomy

SUITES = sorted(Path("config/suites").glob("*.yaml"))
TABLE1 = load_variants(Path("config/variants/table1.yaml")).variants
PAPER = load_suite(Path("config/suites/paper.yaml"))
COST_TABLE = loaded(COST_FILE, CostTable, "cost table")


def by_hand(groups, variant):
    """Channels that stay, by decimal arithmetic: the last pattern that matches one of a group's layers counts."""
    kept = {}
    for group in groups:
        shares = [s for p, s in variant.ratios.items() if fnmatch.filter([each.name for each in group.producers], p)]
        left = group.channels * (1 - Decimal(str(shares[-1] if shares else 0)))
        rounding = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR}[variant.rounding]
        kept[group.name] = max(1, int(left.quantize(Decimal(1), rounding)))
    return kept


@pytest.mark.parametrize("variant", TABLE1, ids=lambda variant: variant.name)
def test_every_row_of_table_1_is_run_by_the_paper_suite(variant):
    """The same numbers of channels as the variant's own, at a cell that the suite runs, fine-tuned and asked about."""
    own = variant.name in PAPER.plans
    plan = variant.name if own else "uniform"
    ratio = max(variant.ratios.values())
    model = (
        plugins.load(plugins.MODELS, variant.model.name).build(variant.model.depth, 3, variant.image_size, 10).eval()
    )
    parts = anatomy(model, torch.zeros(1, 3, variant.image_size, variant.image_size))
    kept = by_hand(parts.groups, variant)
    assert channels_to_keep(PAPER.plans[plan], ratio, model, parts) == kept
    assert variant_plan(parts.groups, variant) == kept
    method = "magnitude+finetune" if "pfec" in variant.name else "nisp+finetune"
    cells = {(run.model, run.plan, run.ratio, run.method) for run in PAPER.runs}
    assert (variant.model, plan, ratio, method) in cells
    asked = [question for question in PAPER.questions if question.id == f"table1-{variant.name}"]
    assert [(q.subject, q.plan, q.ratios) for q in asked] == [(method, plan, (ratio,))]


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_a_suite_loads_names_itself_and_tells_its_cost(file):
    suite = load_suite(file)
    assert suite.suite == file.stem
    told = as_sentence(suite, estimated(suite, COST_TABLE))
    assert f"{len(suite.runs):,} runs" in told
    own = f"`{file.stem}`" in Path("docs/suites.md").read_text()
    assert "not counted" not in told or not own, "the cost table has every network of the project's own suites"


def test_the_documentation_quotes_the_plan_of_the_paper_suite():
    assert as_sentence(PAPER, estimated(PAPER, COST_TABLE)) in Path("docs/suites.md").read_text()


def test_an_estimate_is_epochs_times_images_times_macs():
    suite = load_suite(Path("config/suites/mnist.yaml"))
    only = suite.model_copy(update={"experiments": suite.experiments[:1], "questions": ()})
    only = only.model_copy(update={"experiments": (only.experiments[0].model_copy(update={"seeds": (0,)}),)})
    for cached in ("runs", "models"):
        only.__dict__.pop(cached, None)
    fast = COST_TABLE.model_copy(
        update={"device": COST_TABLE.device.model_copy(update={"tera_macs_per_second": 1e-3, "seconds_per_step": 0.0})}
    )
    found = estimated(only, fast)
    assert found.trainings == 1, "one base network, and nothing trained after pruning"
    assert found.hours == pytest.approx(12 * 55000 * 3e6 * COST_TABLE.networks["lenet@28"].macs / 1e9 / 3600)


def test_costs_are_those_of_the_networks():
    from benchmarks.costs import measured

    assert {name: network.model_dump() for name, network in COST_TABLE.networks.items()} == measured()
