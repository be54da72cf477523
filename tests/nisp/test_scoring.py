"""Scores of whole networks: finding the final responses, range, agreement with the propagation to groups."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import nisp
from nisp import network, signals
from nisp.errors import UserError
from nisp.pruning.contract import Group, Producer
from tests.conftest import EMBEDDED, build, classifier_name


@pytest.mark.parametrize(("name", "depth"), EMBEDDED)
def test_equals_the_propagation_to_groups_of_single_layers(name, depth):
    model, image = build(name, depth), torch.randn(2, 1, 8, 8)
    classifier = classifier_name(model)
    frl = torch.rand(model.get_submodule(classifier).in_features)
    found = nisp.scores(model, image[:1], frl_scores=frl)
    widths = {name: len(values) for name, values in found.items()}
    groups = [Group(n, (Producer(n, torch.arange(w)[:, None]),), (), w) for n, w in widths.items()]
    expected = nisp.propagate(model, image, classifier, frl, groups)
    layers = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert found.keys() == expected.keys() == layers - {classifier}
    for layer, values in found.items():
        torch.testing.assert_close(values, expected[layer], rtol=1e-12, atol=0)
        assert (values >= 0).all() and values.any()


TORCHVISION = {
    "squeezenet1_1": "classifier.1", "mobilenet_v3_small": "classifier.3", "shufflenet_v2_x0_5": "fc",
    "googlenet": "fc", "densenet121": "classifier", "swin_t": "head", "alexnet": "classifier.6",
}  # fmt: skip


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_final_responses_are_found_and_every_layer_before_them_is_scored(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    image = torch.randn(1, 3, 64, 64)
    final = nisp.final_layers(model, image)
    weight = model.get_submodule(TORCHVISION[name]).weight
    assert final == {TORCHVISION[name]: weight.shape[1]}
    found = nisp.scores(model, image, frl_scores=torch.rand(weight.shape[1]))
    layers = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "aux" not in n}
    assert found.keys() == layers - final.keys()
    assert all(values.isfinite().all() and (values >= 0).all() and values.any() for values in found.values())


class Heads(nn.Module):
    def __init__(self, scaled=False):
        super().__init__()
        self.body, self.first, self.second = nn.Conv2d(1, 4, 3), nn.Linear(4, 3), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.ones(3)) if scaled else None

    def forward(self, x):
        x = F.relu(self.body(x)).mean((2, 3))
        if self.scale is not None:
            return {"logits": F.layer_norm(self.first(x), (3,)) * self.scale}
        return (self.first(x) + self.second(torch.cat([x, x * 2], 1))) / 2


def test_what_several_heads_read_is_read_one_after_the_other():
    model, image = Heads(), torch.randn(1, 1, 5, 5)
    assert nisp.final_layers(model, image) == {"first": 4, "second": 8}
    both = nisp.scores(model, image, frl_scores=torch.tensor([1.0] * 4 + [1.0] * 4 + [10.0] * 4))["body"]
    torch.testing.assert_close(both, torch.full((4,), 22.0).double())
    one = nisp.scores(model, image, frl_scores=torch.ones(4), classifier="first")["body"]
    torch.testing.assert_close(one, torch.ones(4).double())
    assert nisp.scores(model, image, calibration=torch.randn(9, 1, 5, 5))["body"].shape == (4,)


def test_what_comes_after_the_classifier_changes_nothing():
    assert nisp.final_layers(Heads(scaled=True), torch.randn(1, 1, 5, 5)) == {"first": 4}


def test_a_convolutional_classifier_has_one_final_response_a_channel():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(40, 1, 6, 6)
    given = nisp.scores(model, images[:1], frl_scores=torch.tensor([1.0, 2.0, 3.0]))
    assert given["0"].tolist() == [16, 32, 48]
    responses = model[:2](images).mean((2, 3))
    ranked = nisp.scores(model, images[:1], calibration=images)
    torch.testing.assert_close(ranked["0"], 16 * nisp.inf_fs(responses))


def test_scores_are_means_over_the_examples():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    examples, frl = torch.randn(3, 3), torch.rand(4)
    each = [nisp.scores(model, example[None], frl_scores=frl)["0"] for example in examples]
    together = nisp.scores(model, examples, frl_scores=frl)["0"]
    torch.testing.assert_close(together, torch.stack(each).mean(0))


def test_a_layer_that_runs_twice_scores_for_both():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(3, 2))
    found = nisp.scores(model, torch.randn(1, 3), frl_scores=torch.ones(3))["0"]
    torch.testing.assert_close(found, 1 + shared.weight.detach().double().abs().sum(0))


def test_a_weight_that_another_module_uses_is_the_layers():
    class Parent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.classifier = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.classifier(F.linear(x, self.layer.weight, self.layer.bias))

    assert nisp.scores(Parent(), torch.randn(1, 3), frl_scores=torch.ones(4))["layer"].tolist() == [1] * 4


@pytest.mark.parametrize("name", ["resnet", "plain"])
def test_keeping_scores_in_range_does_not_change_them(name, monkeypatch):
    model, image = build(name, 8), torch.randn(1, 1, 8, 8)
    frl = torch.rand(model.get_submodule(classifier_name(model)).in_features)
    plain = nisp.scores(model, image, frl_scores=frl)
    monkeypatch.setattr(signals, "STEP", 1)
    for layer, values in nisp.scores(model, image, frl_scores=frl).items():
        torch.testing.assert_close(values, plain[layer], rtol=0, atol=0)


def test_a_pass_in_shapes_scores_like_one_with_values(monkeypatch):
    model, image = build("resnet", 8), torch.randn(1, 1, 8, 8)
    frl = torch.rand(model.get_submodule(classifier_name(model)).in_features)
    shapes = nisp.scores(model, image, frl_scores=frl)
    with_values = network._passed
    monkeypatch.setattr(network, "_passed", lambda model, example, measuring: with_values(model, example, True))
    for layer, values in nisp.scores(model, image, frl_scores=frl).items():
        torch.testing.assert_close(values, shapes[layer], rtol=0, atol=0)


def test_single_precision_is_right_to_five_digits():
    model, image = build("resnet", 20), torch.randn(1, 1, 8, 8)
    frl = torch.rand(model.get_submodule(classifier_name(model)).in_features)
    single = nisp.scores(model, image, frl_scores=frl)
    for layer, values in nisp.scores(model.double(), image, frl_scores=frl).items():
        torch.testing.assert_close(single[layer], values, rtol=1e-5, atol=0)


def test_scores_beyond_the_range_of_float64_stay_finite_and_in_order():
    layers = [nn.Linear(2, 2, bias=False) for _ in range(60)]
    for layer in layers:
        layer.weight = nn.Parameter(torch.tensor([[2.0**40, 0], [0, 2.0**39]]))
    model = nn.Sequential(*layers, nn.Linear(2, 2))
    found = nisp.scores(model, torch.zeros(1, 2), frl_scores=torch.ones(2))
    for index in range(60):
        first, second = found[str(index)].log2().tolist()
        assert math.isfinite(first) and first - second == 59 - index
        if (59 - index) * 40 < 800:
            assert first == (59 - index) * 40
    group = Group("0", tuple(Producer(n, torch.arange(2)[:, None]) for n in ("0", "1")), (), 2)
    coupled = nisp.propagate(model, torch.zeros(1, 2), "60", torch.ones(2), [group])["0"]
    assert coupled.isfinite().all() and (coupled[0] / coupled[1]).log2() == pytest.approx(59, abs=1e-6)


class Odd(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.layer, self.classifier = nn.Linear(4, 3), nn.Linear(3, 2)
        self.body = forward

    def forward(self, x):
        return self.classifier(self.body(self.layer(x)))


def into_constant(x):
    buffer = torch.zeros(1, 3)
    buffer[:, :] = x
    return buffer


def into_part_of_constant(x):
    buffer = torch.zeros(1, 6)
    part = buffer[:, :3]
    part += x
    return buffer[:, :3]


def into_constant_in_use(x):
    buffer = torch.zeros(1, 3)
    same = buffer.view(3)
    buffer += x
    return same[None]


def into_used_view(x):
    view = x[:, :1]
    view.mul_(2)
    return x


def activating_a_used_view(x):
    torch.nn.functional.silu(x[:, :1], inplace=True)
    return x


def augmenting_elsewhere(x):
    view = x[:, :1]
    view += 1 * x[:, 1:2]
    x[:, 2:] = view
    return x


def augmenting_a_used_view(x):
    view = x[:, :1]
    view += x[:, 1:2]
    return x


def writing_below_a_used_view(x):
    view = x[:, :1]
    x.mul_(2)
    return x + view


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda x: torch.special.i0(x), "i0"),
        (lambda x: x.round(), "round: it changes in steps"),
        (lambda x: x if x.sum().item() > 0 else -x, "item: the network branches on values"),
        (into_part_of_constant, "writes a response into a constant tensor"),
        (into_constant_in_use, "writes a response into a constant tensor"),
        (into_used_view, "part of a response that is still in use"),
        (activating_a_used_view, "silu on part of a response that is still in use"),
        (augmenting_elsewhere, "part of a response that is still in use"),
        (augmenting_a_used_view, "part of a response that is still in use"),
        (writing_below_a_used_view, "part of a response that is still in use"),
        (lambda x: torch.mul(x, 2, out=torch.empty(1, 3)), "out="),
        (lambda x: nn.LSTM(3, 3)(x)[0], "lstm: recurrent layers have none"),
        (lambda x: x * float("inf"), "scores of layer are not finite"),
        (lambda x: x * torch.tensor([1.0, 2.0, float("inf")]), "scores of layer are not finite"),
        (lambda x: x * torch.tensor([1.0, 2.0, float("nan")]), "scores of layer are not finite"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(body, message):
    with pytest.raises(UserError, match=message):
        nisp.scores(Odd(body), torch.randn(1, 4), frl_scores=torch.ones(3))


def augmenting_a_part(x):
    x[:, :1] += x[:, 1:2].clone()
    x[:, 2:] *= -3
    return x


def test_a_part_may_be_augmented():
    found = nisp.scores(Odd(augmenting_a_part), torch.randn(1, 4), frl_scores=torch.tensor([1.0, 2.0, 4.0]))
    assert found["layer"].tolist() == [1, 3, 12]


def test_a_part_that_is_written_into_and_never_read_again_does_no_harm():
    def written(x):
        y = x * 2
        view = y[:, :1]
        view.mul_(x[:, :1])
        return x

    assert nisp.scores(Odd(written), torch.randn(1, 4), frl_scores=torch.ones(3))["layer"].tolist() == [1, 1, 1]


def test_an_output_that_was_written_into_through_a_view_is_refused():
    class Written(Odd):
        def forward(self, x):
            x = super().forward(x)
            x[:, :1].mul_(x[:, 1:])
            return x

    with pytest.raises(UserError, match="mul_ on part of a response that is still in use"):
        nisp.scores(Written(torch.relu), torch.randn(1, 4), frl_scores=torch.ones(3))


def test_a_constant_may_be_written_into():
    assert nisp.scores(Odd(into_constant), torch.randn(1, 4), frl_scores=torch.ones(3))["layer"].tolist() == [1, 1, 1]


def test_in_place_functions_that_pass_scores_on_as_they_are_may_write_a_part_that_is_in_use():
    def rectified(x):
        first = x[:, :2]
        first.relu_()
        return x

    assert nisp.scores(Odd(rectified), torch.randn(1, 4), frl_scores=torch.ones(3))["layer"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either frl_scores, or calibration"),
        ({"frl_scores": torch.ones(3), "calibration": torch.ones(3, 4)}, "either frl_scores, or calibration"),
        ({"frl_scores": torch.ones(2)}, "2 scores were given for 3"),
        ({"frl_scores": torch.ones(3), "classifier": "head"}, "'head' is not a convolution or linear layer"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        nisp.scores(Odd(torch.relu), torch.randn(1, 4), **options)


@pytest.mark.parametrize("between", [nn.Identity(), nn.ReLU(), nn.Sequential(nn.Tanh(), nn.ReLU())])
def test_a_network_without_a_classifier_is_refused(between):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            x = self.one(x)
            return x + self.two(between(x))

    with pytest.raises(UserError, match=r"comes from 2 layers that feed one another, among them two, .*name the layer"):
        nisp.scores(Residual(), torch.randn(1, 3), frl_scores=torch.ones(3))


def test_a_part_of_a_sum_that_does_not_reach_the_output_scores_nothing():
    """Of two halves that are split and swapped only one is used; the other's layer has no score."""

    class Swapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
            self.head = torch.nn.Linear(2, 2)

        def forward(self, x):
            joined = torch.stack([self.left(x), self.right(x)])
            return self.head(joined.unbind(0)[1])

    found = nisp.scores(Swapped(), torch.randn(1, 3), frl_scores=torch.tensor([1.0, 2.0]))
    assert found["right"].tolist() == [1.0, 2.0] and not found.get("left", torch.zeros(2)).any()


def test_a_mean_is_expanded_like_the_maps_it_was_taken_of():
    """Both tensors depend on the input, and scores go to the first only."""

    class Expanded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = torch.nn.Conv2d(1, 2, 1), torch.nn.Linear(2, 2)

        def forward(self, x):
            x = self.first(x)
            return self.head(x.mean((2, 3), keepdim=True).expand_as(x).mean((2, 3)))

    found = nisp.scores(Expanded(), torch.randn(1, 1, 3, 3), frl_scores=torch.tensor([1.0, 2.0]))
    assert found["first"].tolist() == pytest.approx([1.0, 2.0])
