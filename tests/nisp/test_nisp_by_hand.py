"""NISP, its null controls and its repeated form on a perceptron, against the equations written out."""

import importlib
from dataclasses import replace

import pytest
import torch

from bench.contract import Consumer, Group, Problem, Producer, kept_channels
from nisp import inf_fs
from tests.nisp.test_own_criteria import given_of, perceptron, score

OPTIONS = {"alpha": 0.3, "variant": "release2016"}


def absolute(layer):
    return layer.weight.detach().double().abs()


def left(scores, keep):
    """The scores of the channels that stay, 0 for the others."""
    return torch.zeros_like(scores).index_fill(0, kept_channels(scores, keep), 1) * scores


def finals_of(model, images):
    return model[:4](images).detach()


@pytest.fixture
def task():
    model, images = perceptron(), torch.randn(30, 6)
    return replace(given_of(model, images, "4"), seed=5)


@pytest.mark.parametrize("joint", [True, False])
def test_nisp_ranks_the_final_responses_and_propagates(task, joint):
    found = score("nisp", task, joint=joint, **OPTIONS)
    finals = inf_fs(finals_of(task.model, task.images), 0.3, "release2016")
    torch.testing.assert_close(found["2"], finals)
    expected = absolute(task.model[2]).T @ (left(finals, 2) if joint else finals)
    torch.testing.assert_close(found["0"], expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("joint", [True, False])
def test_the_permuted_control_deals_the_scores_by_the_problems_seed(task, joint):
    found = score("nisp_permuted", task, joint=joint, **OPTIONS)
    finals = inf_fs(finals_of(task.model, task.images), 0.3, "release2016")
    finals = finals[torch.randperm(4, generator=torch.Generator().manual_seed(5))]
    torch.testing.assert_close(found["2"], finals)
    expected = absolute(task.model[2]).T @ (left(finals, 2) if joint else finals)
    torch.testing.assert_close(found["0"], expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("joint", [True, False])
def test_the_uniform_control_starts_from_ones(task, joint):
    found = score("nisp_uniform", task, joint=joint)
    start = torch.tensor([1.0, 1.0, 0.0, 0.0] if joint else [1.0] * 4).double()  # ties keep the lower index
    torch.testing.assert_close(found["0"], absolute(task.model[2]).T @ start, rtol=1e-6, atol=0)


def test_nisp_mag_without_joint_pruning_propagates_all(task):
    found = score("nisp_mag", task, joint=False)
    hidden = absolute(task.model[2])
    torch.testing.assert_close(found["0"], hidden.T @ hidden.sum(1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["lbl", "response_bound"])
def test_options_reach_inf_fs(task, name):
    finals = finals_of(task.model, task.images)
    expected = inf_fs(finals, 0.3, "release2016")
    if name == "response_bound":
        expected = expected * finals.abs().double().mean(0)
    torch.testing.assert_close(score(name, task, **OPTIONS)["2"], expected, rtol=1e-5, atol=1e-9)


def unit(scores):
    return 0.5 * (scores - scores.min()) / (scores.max() - scores.min())


@pytest.mark.parametrize("joint", [True, False])
def test_rescored_ranks_what_is_left_again(task, joint):
    model, images = task.model, task.images
    first, second = (model[i].weight.detach().clone() for i in (0, 2))
    found = score("nisp_rescored", task, steps=2, joint=joint, **OPTIONS)
    hidden = torch.relu(images @ first.T + model[0].bias)

    def scored(weight, alive, keep):
        responses = torch.relu(hidden @ weight.T + model[2].bias).detach()
        finals = torch.zeros(4).double()
        finals[alive] = inf_fs(responses[:, alive], 0.3, "release2016")
        return finals, weight.double().abs().T @ (left(finals, keep) if joint else finals)

    finals, below = scored(second, torch.arange(4), 3)
    expected = {"2": 1 + unit(finals), "0": 1 + unit(below)}
    units, channels = kept_channels(finals, 3), kept_channels(below, 6)
    silenced = torch.zeros_like(second).index_copy(1, channels, second[:, channels])
    finals, below = scored(silenced, units, 2)
    expected["2"][units] = 2 + unit(finals[units])
    expected["0"][channels] = 2 + unit(below[channels])
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-6)
    assert torch.equal(model[2].weight, second), "the network given is left as it was"


def test_rescored_takes_four_steps_unless_told_otherwise(task):
    four, plain = score("nisp_rescored", task, steps=4), score("nisp_rescored", task)
    assert all(torch.equal(four[name], plain[name]) for name in four)
    assert four["2"].max() == 4.5 and four["0"].max() == 4.5


def test_channels_that_score_alike_rank_alike():
    rank = importlib.import_module("nisp.criteria.nisp_rescored")._unit_interval
    assert rank(torch.full((3,), 7.0).double()).tolist() == [0, 0, 0]
    assert rank(torch.tensor([3.0, 5.0, 4.0]).double()).tolist() == [0, 0.5, 0.25]


CRITERIA = ["nisp", "nisp_permuted", "nisp_rescored", "response_bound", "lbl", "nisp_uniform", "nisp_mag"]


@pytest.mark.parametrize("name", CRITERIA)
def test_the_papers_reading_is_the_default(task, name):
    settings = {} if name in ("nisp_uniform", "nisp_mag") else {"alpha": 0.5, "variant": "iccv2015"}
    settings |= {} if name == "lbl" else {"joint": True}
    plain = score(name, task)
    assert all(torch.equal(plain[group], values) for group, values in score(name, task, **settings).items())
    for other in ({"alpha": 0.6}, {"joint": False}):
        if other.keys() <= settings.keys():
            changed = score(name, task, **settings | other)
            assert not all(torch.equal(plain[group], values) for group, values in changed.items())


class Twice(torch.nn.Module):
    """Layers of one group that one reader reads in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.below, self.shared = torch.nn.Linear(4, 6), torch.nn.Linear(6, 5), torch.nn.Linear(5, 5)
        self.classifier = torch.nn.Linear(5, 2)

    def tensors(self, x):
        found = [torch.tanh(self.first(x))]  # of both signs
        for layer in (self.below, self.shared, self.shared):
            found.append(torch.tanh(layer(found[-1])))
        return found

    def forward(self, x):
        return self.classifier(self.tensors(x)[-1])


@pytest.mark.parametrize("joint", [True, False])
def test_response_bound_adds_up_all_that_is_read_of_a_group_and_stops_where_it_is_read_first(joint):
    model, images = Twice().eval(), torch.randn(40, 4)

    def group(name, channels, writers, readers):
        places = torch.arange(channels)[:, None]
        producers = tuple(Producer(writer, places) for writer in writers)
        return Group(name, producers, tuple(Consumer(reader, places) for reader in readers), channels)

    groups = (group("one", 6, ["first"], ["below"]), group("two", 5, ["below", "shared"], ["shared", "classifier"]))
    keep = {"one": 6, "two": 2}
    given = Problem(model, groups, keep, images, torch.zeros(40, dtype=torch.long), "classifier", 0)
    found = score("response_bound", given, joint=joint)
    read = [tensor.detach().double().abs().mean(0) for tensor in model.tensors(images)]
    start = inf_fs(model.tensors(images)[-1])
    middle = absolute(model.shared).T @ start
    early = absolute(model.shared).T @ middle
    total = start * read[3] + middle * read[2] + early * read[1]
    torch.testing.assert_close(found["two"], total, rtol=1e-5, atol=0)
    alive = torch.zeros(5).double().index_fill(0, kept_channels(total, 2), 1) if joint else 1
    torch.testing.assert_close(found["one"], absolute(model.below).T @ (early * alive) * read[0], rtol=1e-5, atol=0)
