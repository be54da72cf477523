"""nisp.prune: one call scores, chooses, cuts and checks."""

import copy
import math

import pytest
import torch
from torch import nn

import baselines.taylor
import nisp
import nisp.criteria.nisp
from nisp.pruning import Problem, anatomy
from tests.conftest import build

IMAGES = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def net():
    """Groups "0" of 8 and "3" of 10 channels."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10), nn.Linear(10, 2))


def norms(net):
    return {"0": net[0].weight.abs().sum((1, 2, 3)), "3": net[3].weight.abs().sum(1)}


def highest(values, count):
    return sorted(sorted(range(len(values)), key=lambda i: -values[i])[:count])


def test_given_scores_keep_the_highest_and_the_numbers_are_counted_by_hand(net):
    scores = norms(net)
    pruned = nisp.prune(net, IMAGES, 0.5, scores=scores)
    kept = {name: indices.tolist() for name, indices in pruned.kept.items()}
    assert kept == {"0": highest(scores["0"].tolist(), 4), "3": highest(scores["3"].tolist(), 5)}
    assert torch.equal(pruned.model[0].weight, net[0].weight[kept["0"]])
    columns = [36 * channel + place for channel in kept["0"] for place in range(36)]
    assert torch.equal(pruned.model[3].weight, net[3].weight[kept["3"]][:, columns])
    assert torch.equal(pruned.model[4].weight, net[4].weight[:, kept["3"]])
    assert pruned.macs_before == 8 * 27 * 36 + 288 * 10 + 10 * 2 and pruned.macs == 4 * 27 * 36 + 144 * 5 + 5 * 2
    assert pruned.params_before == 8 * 28 + 289 * 10 + 11 * 2 and pruned.params == 4 * 28 + 145 * 5 + 6 * 2
    assert 0 <= pruned.removal_error < 1e-14 and not pruned.model.training


def test_by_default_it_is_nisp_with_joint_pruning_at_half(net):
    """Without batch norm or branches, the one chain of groups can be scored by hand."""
    pruned = nisp.prune(net, IMAGES)
    with torch.no_grad():
        last = nisp.inf_fs(net[:4](IMAGES))
    kept_last = highest(last.tolist(), 5)
    masked = torch.zeros(10, dtype=torch.float64).index_fill(0, torch.tensor(kept_last), 1) * last
    first = (masked @ net[3].weight.detach().double().abs()).reshape(8, 36).sum(1)
    assert pruned.kept["3"].tolist() == kept_last and pruned.kept["0"].tolist() == highest(first.tolist(), 4)


def test_it_is_the_criterion_that_suites_run(net):
    """Its options and data the same, nisp.prune keeps what the criterion `nisp` scores highest."""
    net = build("resnet", 8)
    images = torch.randn(30, 1, 8, 8)
    ours = nisp.prune(net, images, 0.4)
    theirs = nisp.prune(net, images, 0.4, scores=nisp.criteria.nisp.score)
    assert all(torch.equal(ours.kept[name], theirs.kept[name]) for name in theirs.kept)


def test_a_criterion_is_given_the_problem(net):
    given = []

    def criterion(problem):
        given.append(problem)
        assert not problem.model.training
        return norms(problem.model)

    labels = torch.arange(40) % 2
    net.train()
    pruned = nisp.prune(net, IMAGES, {"*": 0.5, "3": 0.2}, scores=criterion, labels=labels, seed=7)
    [problem] = given
    assert problem.model is net and net.training, "the network is left as it was"
    assert torch.equal(problem.images, IMAGES) and torch.equal(problem.labels, labels) and problem.seed == 7
    assert problem.keep == {"0": 4, "3": 8} and problem.classifier == "4"
    assert [group.name for group in problem.groups] == ["0", "3"]
    assert (pruned.model[0].out_channels, pruned.model[3].out_features) == (4, 8)


def test_the_classifier_can_be_named(net):
    names = []
    nisp.prune(net, IMAGES, scores=lambda p: names.append(p.classifier) or norms(net), classifier="3")
    assert names == ["3"]
    by_middle = nisp.prune(net, IMAGES, classifier="3", ratio={"0": 0.5})
    with torch.no_grad():
        ranked = nisp.inf_fs(net[:3](IMAGES)).reshape(8, 36).sum(1)
    assert by_middle.kept["0"].tolist() == highest(ranked.tolist(), 4) and len(by_middle.kept["3"]) == 10


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.left, self.right = nn.Linear(6, 2), nn.Linear(216, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.left(x.mean((2, 3))), self.right(x.flatten(1))


def test_a_network_of_several_heads_is_scored_from_all_of_them():
    torch.manual_seed(0)
    net = TwoHeads()
    pruned = nisp.prune(net, IMAGES, 0.5)
    responses = nisp.final_responses(net.eval(), IMAGES, ("left", "right"))
    scores = nisp.scores(net, IMAGES[:1], frl_scores=nisp.inf_fs(responses), classifier=("left", "right"))["stem"]
    assert pruned.kept["stem"].tolist() == highest(scores.tolist(), 3)


def test_labels_are_asked_for_only_where_a_criterion_needs_them():
    net = build("plain", 4)
    images, labels = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    with pytest.raises(nisp.UserError, match="needs the classes of the images: give labels"):
        nisp.prune(net, images, scores=baselines.taylor.score)
    assert nisp.prune(net, images, scores=baselines.taylor.score, labels=labels).params > 0


def test_a_budget_of_macs_is_met_by_the_same_share_of_every_layer():
    net = build("plain", 6)
    pruned = nisp.prune(net, torch.randn(20, 1, 8, 8), 0.5, budget="macs", scores=seeded)
    assert abs(pruned.macs / pruned.macs_before - 0.5) <= 0.005
    shares = [len(pruned.kept[group.name]) / group.channels for group in anatomy(net, torch.zeros(1, 1, 8, 8)).groups]
    assert max(shares) - min(shares) < 0.1


def seeded(problem: Problem):
    generator = problem.generator()
    return {group.name: torch.rand(group.channels, generator=generator) for group in problem.groups}


def test_the_seed_decides_what_a_criterion_draws(net):
    kept = [nisp.prune(net, IMAGES, scores=seeded, seed=seed).kept["3"].tolist() for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ratio": 1.0}, r"the ratio of '\*' is 1.0: it must be at least 0 and less than 1"),
        ({"ratio": -0.1}, r"the ratio of '\*' is -0.1"),
        ({"ratio": {"0": 2}}, "the ratio of '0' is 2"),
        ({"ratio": "half"}, r"the ratio of '\*' is 'half'"),
        ({"ratio": {"9": 0.5}}, "no layer that can be pruned matches '9'"),
        ({"budget": "time"}, "the budget is 'time': choose channels or macs"),
        ({"budget": "macs", "ratio": {"0": 0.5}}, "a budget of MACs takes one ratio for the whole network"),
        ({"scores": {"0": torch.ones(8)}}, "there are no scores for the group '3', which loses channels"),
        ({"scores": {"0": torch.ones(8), "3": torch.ones(10), "5": torch.ones(1)}}, "'5', which is not a group"),
        ({"scores": {"0": torch.ones(7), "3": torch.ones(10)}}, r"the scores of '0' have shape \(7,\), not \(8,\)"),
        ({"classifier": "7"}, "'7' is not a layer of Sequential"),
        ({"classifier": "7", "scores": seeded}, "'7' is not a layer of Sequential"),
        ({"classifier": 5}, "the classifier is of class int: give the name of its layer"),
        ({"ratio": True}, r"the ratio of '\*' is True"),
        ({"ratio": math.nan}, r"the ratio of '\*' is nan"),
        ({"ratio": [0.5]}, r"the ratio of '\*' is \[0\.5\]"),
        ({"ratio": {0: 0.5}}, "the ratio's pattern 0 is no string"),
        ({"budget": ["macs"]}, "the budget is .*: choose channels or macs"),
        ({"scores": "magnitude"}, "scores is of class str: give None for NISP, a function of the problem, or"),
        ({"scores": torch.ones(8)}, "scores is of class Tensor"),
        ({"scores": lambda problem: torch.ones(8)}, "the criterion returned Tensor, not a dictionary"),
        ({"scores": {"0": None, "3": torch.ones(10)}}, "the scores of '0' are of class NoneType, not a tensor"),
        ({"labels": [0] * 40}, "labels is of class list: give a tensor of the images' classes"),
        ({"labels": torch.zeros(3).long()}, r"labels has shape \(3,\), not \(40,\)"),
        ({"labels": torch.zeros(40)}, "labels are float32: give the numbers of classes, integers"),
        ({"seed": -1}, "the seed is -1: it must be an integer"),
        ({"seed": 0.5}, r"the seed is 0\.5: it must be an integer"),
        ({"tolerance": math.nan}, "the tolerance is nan: it must be a number that is not negative"),
        ({"tolerance": "small"}, "the tolerance is 'small'"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_sentence(net, options, told):
    with pytest.raises(nisp.UserError, match=told):
        nisp.prune(net, IMAGES, **options)


def test_only_a_network_can_be_pruned():
    with pytest.raises(nisp.UserError, match=r"the network is of class dict: give a torch\.nn\.Module"):
        nisp.prune({}, IMAGES)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_scores_of_which_one_is_not_finite_are_refused(net, wrong):
    scores = norms(net)
    scores["3"] = scores["3"].detach().clone().index_fill(0, torch.tensor([4]), wrong)
    with pytest.raises(nisp.UserError, match="the scores of '3' are not all finite"):
        nisp.prune(net, IMAGES, scores=scores)


def test_a_group_without_scores_stays_whole_where_it_loses_nothing(net):
    pruned = nisp.prune(net, IMAGES, {"0": 0.5}, scores={"0": torch.arange(8)})
    assert pruned.kept["0"].tolist() == [4, 5, 6, 7] and pruned.kept["3"].tolist() == list(range(10))


def test_what_is_not_exact_is_refused_and_says_how_far_it_is_off():
    """Local response norm looks at neighbours, which move together."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5, alpha=1.0), nn.Flatten(), nn.Linear(288, 4))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(nisp.UserError, match=r"cannot be pruned exactly: .* of the largest"):
        nisp.prune(net, IMAGES)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    pruned = nisp.prune(net, IMAGES, tolerance=math.inf)
    assert 1e-9 < pruned.removal_error < 1


def test_outputs_that_are_not_finite_are_never_taken_for_exact():
    class Divides(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(256, 2)

        def forward(self, x):
            y = self.head(torch.relu(self.stem(x)).flatten(1))
            return y, y / (y - y).detach()

    with pytest.raises(nisp.UserError):
        nisp.prune(Divides(), IMAGES, scores={"stem": torch.arange(4.0)})
