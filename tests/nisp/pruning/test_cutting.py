"""What surgery leaves, weight by weight: each tensor is compared with a selection written out by hand."""

import copy

import pytest
import torch
from torch import nn

from nisp.errors import UserError
from nisp.pruning.contract import Group
from nisp.pruning.selection import channels_left, keep_plan
from nisp.pruning.surgery import anatomy, removal_error, remove_channels

EXAMPLE = torch.randn(1, 2, 6, 6)


class Layered(nn.Module):
    """Batch norms with more or less of their own, a PReLU, a depthwise convolution that doubles, and a flatten."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3, bias=True)
        self.norm, self.bare = nn.BatchNorm2d(5), nn.BatchNorm2d(5, affine=False)
        self.empty = nn.BatchNorm2d(5, affine=False, track_running_stats=False)
        self.act = nn.PReLU(5)
        self.depthwise = nn.Conv2d(5, 10, 3, groups=5)
        self.last = nn.Conv2d(10, 4, 1)
        self.head = nn.Linear(16, 3)
        for tensor in self.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
        self.norm.num_batches_tracked.fill_(7)

    def forward(self, x):
        x = self.act(self.bare(self.norm(self.empty(self.first(x)))))
        return self.head(torch.relu(self.last(self.depthwise(x))).flatten(1))


@pytest.fixture
def cut():
    """The network, and what is left of it with channels 1, 2 and 4 of the first group and 0 and 3 of the second."""
    torch.manual_seed(2)
    model = Layered().eval()
    model.first.weight.requires_grad_(False)
    structure = anatomy(model, EXAMPLE)
    assert [(group.name, group.channels) for group in structure.groups] == [("first", 5), ("last", 4)]
    return model, structure, {"first": torch.tensor([1, 2, 4]), "last": torch.tensor([0, 3])}


def test_every_tensor_keeps_the_kept_channels_in_their_order_and_nothing_else(cut):
    model, structure, kept = cut
    one, two, doubled = [1, 2, 4], [0, 3], [2, 3, 4, 5, 8, 9]  # outputs 2i and 2i + 1 are those of channel i
    flattened = [0, 1, 2, 3, 12, 13, 14, 15]
    expected = {
        "first.weight": model.first.weight[one], "first.bias": model.first.bias[one],
        "norm.weight": model.norm.weight[one], "norm.bias": model.norm.bias[one],
        "norm.running_mean": model.norm.running_mean[one], "norm.running_var": model.norm.running_var[one],
        "norm.num_batches_tracked": torch.tensor(7),
        "bare.running_mean": model.bare.running_mean[one], "bare.running_var": model.bare.running_var[one],
        "bare.num_batches_tracked": torch.tensor(0), "act.weight": model.act.weight[one],
        "depthwise.weight": model.depthwise.weight[doubled], "depthwise.bias": model.depthwise.bias[doubled],
        "last.weight": model.last.weight[two][:, doubled], "last.bias": model.last.bias[two],
        "head.weight": model.head.weight[:, flattened], "head.bias": model.head.bias,
    }  # fmt: skip
    found = remove_channels(model, structure, kept).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_attributes_say_what_is_left_and_parameters_stay_parameters(cut):
    model, structure, kept = cut
    pruned = remove_channels(model, structure, kept)
    sizes = {
        name: (module.in_channels, module.out_channels, module.groups)
        for name, module in pruned.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    assert sizes == {"first": (2, 3, 1), "depthwise": (3, 6, 3), "last": (6, 2, 1)}
    assert (pruned.head.in_features, pruned.head.out_features) == (8, 3)
    assert (pruned.norm.num_features, pruned.bare.num_features, pruned.empty.num_features) == (3, 3, 5)
    assert pruned.act.num_parameters == 3
    assert all(isinstance(tensor, nn.Parameter) for tensor in pruned.parameters())
    assert [name for name, tensor in pruned.named_parameters() if not tensor.requires_grad] == ["first.weight"]
    assert "running_mean" in dict(pruned.norm.named_buffers()) and not pruned.training
    assert model.first.weight.shape == (5, 2, 3, 3), "the original is left as it was"


def test_one_image_of_several_is_the_example(cut):
    model, structure, _ = cut
    assert anatomy(model, EXAMPLE.repeat(3, 1, 1, 1)).example.shape == (1, 2, 6, 6)
    assert [group.name for group in anatomy(model, torch.randn(3, 2, 6, 6)).groups] == [
        g.name for g in structure.groups
    ]


def test_kept_channels_may_come_in_any_order_and_groups_that_are_not_named_stay_whole(cut):
    model, structure, kept = cut
    one = remove_channels(model, structure, {"first": kept["first"]})
    other = remove_channels(model, structure, {"first": kept["first"].flip(0)})
    assert all(torch.equal(t, other.state_dict()[name]) for name, t in one.state_dict().items())
    assert one.last.out_channels == 4 and torch.equal(one.head.weight, model.head.weight)


def by_hand():
    """y = W2 relu(W1 x), of which the third hidden unit goes; every number is known."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    model[2].weight.data = torch.tensor([[1.0, 2, 3], [0, -4, 1]])
    structure = anatomy(model.eval(), torch.ones(1, 2))
    return model, structure, {"0": torch.tensor([0, 1])}


def test_removal_error_is_the_largest_difference_relative_to_the_largest_output():
    model, structure, kept = by_hand()
    images = torch.tensor([[1.0, 2], [2, 1]])  # what is left gives (5, -8) and (4, -4)
    pruned = remove_channels(model, structure, kept)
    assert pruned(images).tolist() == [[5, -8], [4, -4]]
    assert removal_error(model, pruned, structure, kept, images) == 0
    with torch.no_grad():
        pruned[2].weight[1, 0] += 0.5  # outputs change by 0.5 and 1
    assert removal_error(model, pruned, structure, kept, images) == pytest.approx(1 / 8)
    with torch.no_grad():
        pruned[2].weight[1, 0] -= 1
    assert removal_error(model, pruned, structure, kept, images) == pytest.approx(1 / 8), "in either direction"


@pytest.mark.parametrize("name", ["first.weight", "norm.running_var", "act.weight", "depthwise.bias", "head.weight"])
def test_removal_error_sees_a_single_wrong_number(cut, name):
    model, structure, kept = cut
    pruned = remove_channels(model, structure, kept)
    images = torch.randn(4, 2, 6, 6)
    assert removal_error(model, pruned, structure, kept, images) < 1e-14
    wrong = copy.deepcopy(pruned)
    wrong.state_dict()[name].view(-1)[-1] += 0.01
    assert removal_error(model, wrong, structure, kept, images) > 1e-6


def test_removal_error_measures_in_eval_mode_and_changes_neither_network(cut):
    model, structure, kept = cut
    pruned = remove_channels(model, structure, kept)
    images = torch.randn(4, 2, 6, 6)
    assert removal_error(model.train(), pruned.train(), structure, kept, images) < 1e-14
    assert model.training and pruned.training and model.head.weight.dtype == pruned.head.weight.dtype == torch.float32
    assert model.last.weight[:, [0, 1, 6, 7]].all(), "the original is not silenced"


@pytest.mark.parametrize(
    ("channels", "ratio", "nearest", "down"),
    [(16, 0.5, 8, 8), (50, 0.25, 38, 37), (50, 0.1, 45, 45), (20, 0.7, 6, 6), (3, 0.99, 1, 1), (5, 0.1, 5, 4),
     (5, 0.3, 4, 3), (8, 0.0, 8, 8), (2, 0.75, 1, 1), (7, 0.5, 4, 3)],
)  # fmt: skip
def test_the_plan_rounds_halves_up_or_everything_down_and_keeps_one(channels, ratio, nearest, down):
    assert channels_left(channels, ratio) == channels_left(channels, ratio, "nearest") == nearest
    assert channels_left(channels, ratio, "down") == down
    assert keep_plan((Group("g", (), (), channels), Group("h", (), (), 1)), ratio) == {"g": nearest, "h": 1}


def test_a_network_that_does_not_run_is_refused_in_one_sentence():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Conv2d(2, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            raise ValueError("no such image")

    with pytest.raises(UserError, match=r"^Counting does not run on the example: no such image$"):
        anatomy(Counting(), EXAMPLE)
