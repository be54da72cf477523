"""Other seeds than those of a suite's file."""

import re

import pytest
import yaml

from bench.suite.loading import load_suite
from bench.suite.seeds import with_seeds
from nisp.errors import UserError
from tests.bench.suite.test_loading import SMALL


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        ([0, 1, 2], None, [0, 1, 2]),
        ([0, 1, 2], 5, [0, 1, 2, 3, 4]),
        ([4, 1], 5, [4, 1, 0, 2, 3]),
        ([4, 1, 7], 2, [4, 1]),
        ([0, 1], "8-11", [8, 9, 10, 11]),
        ([0, 1], "3-3", [3]),
    ],
)
def test_seeds_by_their_number_or_by_the_first_and_the_last(own, wanted, expected):
    content = {"suite": "s", "experiments": [{"name": "a", "seeds": own}, {"name": "b", "seeds": [9]}]}
    found = with_seeds(content, wanted)
    assert found["experiments"][0] == {"name": "a", "seeds": expected} and found["suite"] == "s"
    assert content["experiments"][0]["seeds"] == own
    assert len(found["experiments"][1]["seeds"]) == len(expected if wanted else [9])


@pytest.mark.parametrize("content", [{}, {"experiments": 3}, {"experiments": [3, {"seeds": 3}, {}]}])
def test_what_is_malformed_is_left_to_be_reported(content):
    assert with_seeds(content, 5) == content


def test_no_seed_is_one_sentence():
    with pytest.raises(UserError, match=r"^seeds: 9-8 holds no seed: give the smaller one first$"):
        with_seeds({"experiments": [{"seeds": [1]}]}, "9-8")


def test_records_of_a_suites_own_seeds_stay_valid(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL))
    few, many = load_suite(file), load_suite(file, 40)
    assert len(many.runs) == 40 * len({run.model_copy(update={"seed": 0}) for run in few.runs})
    assert set(few.runs) < set(many.runs)
    assert {few.run_digest(run) == many.run_digest(run) for run in few.runs} == {True}
    assert {run.seed for run in load_suite(file, "8-39").runs} == set(range(8, 40))


def test_a_malformed_suite_is_reported_as_without_other_seeds(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "experiments": 3}))
    messages = []
    for seeds in (None, 4):
        with pytest.raises(UserError) as caught:
            load_suite(file, seeds)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and re.search("experiments", messages[0])
