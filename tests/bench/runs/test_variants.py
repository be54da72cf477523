"""Variants are read from files, their plans follow the groups, and the table says what surgery and ptflops measure."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from bench.answers.tables import read, write
from bench.runs.table1 import COSTS, as_latex, as_markdown, as_text, costs_row, network, table1_costs
from bench.runs.variants import Reported, Variant, load_variants, variant_plan
from nisp.errors import UserError
from nisp.pruning.contract import Group, Producer

FILE = Path("config/variants/table1.yaml")
COLUMNS = ["variant", "flops_reduction", "flops_reduction_paper", "params_reduction", "params_reduction_paper"]
AGREEING = [
    "alexnet-nisp-a", "alexnet-nisp-b", "alexnet-nisp-c", "resnet-34-nisp-a", "resnet-50-nisp-a", "resnet-56-nisp",
    "resnet-110-nisp", "resnet-56-pfec-a", "resnet-56-pfec-b", "resnet-110-pfec-a", "resnet-110-pfec-b",
]  # fmt: skip
SMALL = {
    "name": "small",
    "model": {"name": "resnet", "depth": 8},
    "image_size": 32,
    "classes": 10,
    "ratios": {"*": 0.25},
    "paper": {"flops_reduction": 40.0, "params_reduction": 41.0},
    "certainty": "none",
    "source": "made up",
    "comment": "A small network.",
}


def variant(**changes):
    return Variant(**(SMALL | changes))


def groups(*names_and_channels):
    return tuple(
        Group(names[0], tuple(Producer(name, torch.arange(channels).reshape(-1, 1)) for name in names), (), channels)
        for names, channels in names_and_channels
    )


def written(tmp_path, **changes):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"title": "Mine", "variants": [SMALL | changes]}))
    return file


@pytest.fixture
def kept():
    """The committed table; tests/workflow/test_table1.py checks that the code still measures the same."""
    return read(Path("results/reference/paper/tables/table1_costs.csv"), COSTS)


def test_the_table_has_every_variant_and_just_these_columns(kept, tmp_path):
    variants = load_variants(FILE).variants
    assert kept["variant"].tolist() == [v.name for v in variants]
    assert kept["flops_reduction_paper"].tolist() == [v.paper.flops_reduction for v in variants]
    write(table1_costs([variant()]), COSTS, tmp_path / "costs.csv")
    assert pd.read_csv(tmp_path / "costs.csv").columns.tolist() == COLUMNS


@pytest.mark.parametrize("name", AGREEING)
def test_flops_agree_with_the_paper_where_we_say_so(kept, name):
    row = kept.set_index("variant").loc[name]
    assert row["flops_reduction"] == pytest.approx(row["flops_reduction_paper"], abs=0.3)


def test_the_documentation_shows_the_committed_table(kept):
    assert as_markdown(kept) in Path("docs/table1.md").read_text()


@pytest.mark.parametrize("name", ["alexnet-nisp-a", "resnet-56-nisp"])
def test_the_committed_table_is_what_the_code_measures(kept, name):
    [chosen] = [v for v in load_variants(FILE).variants if v.name == name]
    assert costs_row(chosen)[1::2] == pytest.approx(kept.set_index("variant").loc[name][::2].tolist(), abs=1e-6)


def test_a_group_goes_when_any_of_its_layers_matches_and_the_last_pattern_counts():
    found = groups((("stem", "block.conv2"), 16), (("block.conv1",), 20), (("fc",), 10))
    ratios = {"block.*": 0.5, "block.conv1": 0.2}
    assert variant_plan(found, variant(ratios=ratios)) == {"stem": 8, "block.conv1": 16, "fc": 10}
    assert variant_plan(found, variant(ratios={"*": 0.9, "fc": 0}))["fc"] == 10


@pytest.mark.parametrize(
    ("channels", "ratio", "nearest", "down"), [(16, 0.1, 14, 14), (64, 0.1, 58, 57), (5, 0.1, 5, 4), (50, 0.1, 45, 45)]
)
def test_rounding_and_at_least_one_channel(channels, ratio, nearest, down):
    found = groups((("a",), channels), (("b",), 1))
    for rounding, kept in (("nearest", nearest), ("down", down)):
        assert variant_plan(found, variant(ratios={"*": ratio}, rounding=rounding)) == {"a": kept, "b": 1}


def test_an_unknown_pattern_is_told_with_layers_there_are():
    with pytest.raises(UserError, match=r"variant 'small' of resnet-8: no layer .* matches 'conv9' .*stem"):
        variant_plan(groups((("stem",), 4)), variant(ratios={"*": 0.1, "conv9": 0.5}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ratios": {"*": 1.0}}, "variants.0.ratios.*: Input should be less than 1"),
        ({"ratio": 0.5}, "variants.0.ratio: is not a known key: allowed are name, model"),
        ({"model": {"name": "resnet"}}, "model 'resnet' needs a depth"),
        ({"paper": {"flops_reduction": 10}}, "variants.0.paper.params_reduction: Field required"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path, changes, told):
    with pytest.raises(UserError) as caught:
        load_variants(written(tmp_path, **changes))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_told_with_those_there_are():
    with pytest.raises(UserError, match=r"there is no variant table file .*: variant tables in .* are table1"):
        load_variants(FILE.with_name("table9.yaml"))


def test_a_row_is_the_share_that_surgery_removes():
    def params(a, b, c):
        """ResNet-8 of widths a, b, c: a stem, three blocks of which two have a shortcut, a classifier; with norms."""
        stages = 9 * (2 * a * a + a * b + b * b + b * c + c * c) + a * b + b * c + 4 * a + 6 * b + 6 * c
        return 27 * a + 2 * a + stages + 10 * c + 10

    def products(a, b, c):
        """Of its convolutions and its classifier, on maps of 32, 16 and 8 pixels a side."""
        second, third = 9 * (a * b + b * b) + a * b, 9 * (b * c + c * c) + b * c
        return 1024 * (27 * a + 18 * a * a) + 256 * second + 64 * third + 10 * c

    name, flops, flops_paper, params_saved, params_paper = costs_row(variant())
    assert (name, flops_paper, params_paper) == ("small", 40.0, 41.0)
    model, example = network(variant())
    assert example.shape == (1, 3, 32, 32) and not model.training
    assert sum(p.numel() for p in model.parameters()) == params(16, 32, 64)
    assert params_saved == pytest.approx(100 * (1 - params(12, 24, 48) / params(16, 32, 64)))
    expected = 100 * (1 - products(12, 24, 48) / products(16, 32, 64))
    assert flops == pytest.approx(expected, abs=0.5)  # ptflops counts norms too, of which less goes
    assert table1_costs([variant(), variant(name="other")])["variant"].tolist() == ["small", "other"]


def test_the_three_printed_forms_say_the_same():
    frame = COSTS.validate(pd.DataFrame([("a-b", 10.0, 10.5, 3.25, 3.0)], columns=COLUMNS))
    assert "| a-b | 10.00 | 10.50 | -0.50 | 3.25 | 3.00 | +0.25 |" in as_markdown(frame)
    assert r"a-b & 10.00 & 10.50 & $-$0.50 & 3.25 & 3.00 & $+$0.25 \\" in as_latex(frame)
    assert as_text(frame).splitlines()[1].split() == ["a-b", "10.00", "10.50", "-0.50", "3.25", "3.00", "+0.25"]


@pytest.mark.parametrize("wrong", [0, -1, 100, 101])
def test_a_reported_reduction_is_a_share_of_the_network(wrong):
    for right, other in (("flops_reduction", "params_reduction"), ("params_reduction", "flops_reduction")):
        with pytest.raises(ValueError, match=right):
            Reported(**{right: wrong, other: 50})
