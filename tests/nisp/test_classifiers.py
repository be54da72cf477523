"""Which layer is the classifier: found where it can be known, and else named by the user."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nisp
from tests.nisp.networks_of_any_kind import Plain, seeded

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))


class Body(Plain):
    """Convolutions a and b; ``head`` makes what is returned of the map behind them, with the layers ``parts``."""

    def __init__(self, head, **parts):
        super().__init__()
        self.head = head
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.head(self, torch.relu(self.b(torch.relu(self.a(x)))))


def means(x):
    return x.mean((2, 3))


def residual(net, x):
    y = torch.relu(net.c(x))
    return y + net.d(y)


def levels(net, x):
    y = residual(net, x)
    return {"levels": [x, y], "logits": net.f(means(y))}


def embedded(net, x):
    y = net.f(means(x))
    return y, net.g(y)


FOUND = {
    "logits": (lambda net, x: net.f(means(x)), {}, {"f": 6}),
    "a dictionary": (
        lambda net, x: {"out": net.f(means(x)), "aux": net.c(x)}, {"c": nn.Conv2d(6, 2, 1)}, {"f": 6, "c": 6}
    ),
    "features beside logits": (lambda net, x: (net.f(means(x)), means(x), x), {}, {"f": 6}),
    "all features of the way": (levels, {"c": nn.Conv2d(6, 6, 1), "d": nn.Conv2d(6, 6, 1)}, {"f": 6}),
    "heads that read the same": (
        lambda net, x: [net.c(x), net.d(x)], {"c": nn.Conv2d(6, 2, 1), "d": nn.Conv2d(6, 4, 1)}, {"c": 6}
    ),
    "a head of several levels": (
        lambda net, x: [net.c(x), net.c(F.max_pool2d(x, 2))], {"c": nn.Conv2d(6, 2, 1)}, {"c": 6}
    ),
    "a normalised embedding": (lambda net, x: F.normalize(net.f(means(x))), {}, {"f": 6}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOUND)
def test_classifiers_that_can_be_known_are_found(kind):
    head, parts, expected = FOUND[kind]
    net = seeded(lambda: Body(head, **parts))
    assert nisp.final_layers(net, X) == expected
    found = nisp.scores(net, X, frl_scores=torch.ones(sum(expected.values())))
    assert {"a", "b"} <= found.keys()


def distribution(net, x):
    """Boxes as means over distributions, which a convolution of fixed weights takes, beside classes."""
    box = net.box(x)
    mean = net.mean(box.unflatten(1, (4, 4)).flatten(3).transpose(1, 2).softmax(1)).flatten(1)
    return torch.cat([mean, net.cls(x).flatten(1)], 1), [box, net.cls(x)]


def heads(**options):
    fixed = nn.Conv2d(4, 1, 1, bias=False).requires_grad_(options.pop("learns"))
    return Body(distribution, box=nn.Conv2d(6, 16, 1), cls=nn.Conv2d(6, 5, 1), mean=fixed)


def test_a_frozen_layer_behind_those_that_learn_is_no_classifier():
    assert nisp.final_layers(seeded(lambda: heads(learns=False)), X) == {"box": 6}
    frozen = seeded(lambda: heads(learns=False)).requires_grad_(False)
    with pytest.raises(nisp.UserError, match="cannot be known"):
        nisp.final_layers(frozen, X)


def metric(net, x):
    return F.linear(F.normalize(net.f(means(x))), F.normalize(net.centres))


REFUSED = {
    "an output that feeds another one": (
        lambda: heads(learns=True),
        "output of box is returned, .* a layer behind it: name the layer .* classifier=",
    ),
    "an embedding beside logits": (
        lambda: Body(embedded, g=nn.Linear(3, 2)),
        "the output of f is returned, and so is",
    ),
    "no classifier": (
        lambda: Body(residual, c=nn.Conv2d(6, 6, 1), d=nn.Conv2d(6, 6, 1)),
        "comes from 2 layers that feed one another, among them d, and not from a classifier: name the layer",
    ),
    "weights of no layer": (
        lambda: Body(metric, centres=nn.ParameterList([torch.rand(2, 3)])),
        "comes from weights that belong to no convolution or linear layer: name the layer .*a, b, f",
    ),
    "a product with a parameter": (
        lambda: Body(lambda net, x: net.f(means(x)) @ net.centres[0], centres=nn.ParameterList([torch.rand(3, 2)])),
        "comes from weights that belong to no convolution or linear layer",
    ),
    "no layer": (lambda: nn.Sequential(nn.ReLU()), "comes from no convolution or linear layer"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_where_it_cannot_be_known_the_sentence_says_how_to_name_it(kind):
    make, message = REFUSED[kind]
    net = seeded(make)
    if kind == "weights of no layer":
        net.centres = net.centres[0]
    with pytest.raises(nisp.UserError, match=message):
        nisp.scores(net, X, frl_scores=torch.ones(6))
    if kind != "no layer":
        assert nisp.scores(net, X, frl_scores=torch.ones(8), classifier="b").keys() == {"a"}


def test_a_classifier_that_does_not_run_is_refused():
    net = seeded(lambda: Body(lambda net, x: net.f(means(x)), unused=nn.Linear(6, 3)))
    with pytest.raises(nisp.UserError, match="'unused' is not a convolution or linear layer that the network runs"):
        nisp.scores(net, X, frl_scores=torch.ones(6), classifier="unused")
    with pytest.raises(nisp.UserError, match="'unused' is not called when Body runs"):
        nisp.final_responses(net, X, "unused")
    with pytest.raises(nisp.UserError, match="'nowhere' is not a layer of Body"):
        nisp.final_responses(net, X, "nowhere")


def test_a_head_of_several_levels_scores_every_level():
    head = lambda net, x: [net.c(x), net.c(F.max_pool2d(x, 2))]  # noqa: E731
    net = seeded(lambda: Body(head, c=nn.Conv2d(6, 2, 1)))
    found = nisp.scores(net, X, frl_scores=torch.arange(1.0, 7.0))
    places = 16 + 16  # a maximum gives all four places of its window the score
    torch.testing.assert_close(found["b"], places * torch.arange(1.0, 7.0).double())
    features = torch.relu(net.b(torch.relu(net.a(X))))
    expected = (means(features) + means(F.max_pool2d(features, 2))) / 2
    torch.testing.assert_close(nisp.final_responses(net, X, "c"), expected.detach())


def test_final_responses_that_depend_on_the_layers_in_steps_only_are_refused():
    net = seeded(Body, lambda net, x: net.f(means((x > 0).float())))
    with pytest.raises(nisp.UserError, match="inputs of f, depend on no layer of Body except in steps"):
        nisp.scores(net, X, frl_scores=torch.ones(6))
