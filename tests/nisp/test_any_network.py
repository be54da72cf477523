"""Networks of any structure: what they keep, take, return, wrap and script."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nisp
import nisp.criteria.nisp
import nisp.criteria.response_bound
from nisp.pruning import anatomy, keep_plan, removal_error, remove_channels
from tests.nisp.networks_of_any_kind import RETURNED, Plain, Returning, seeded, state

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
FRL = torch.ones(6)


def halved(net, x=X):
    """Anatomy, kept channels, and the pruned network, checked against the masked one."""
    parts = anatomy(net, x)
    kept = {name: torch.arange(count) * 2 for name, count in keep_plan(parts.groups, 0.5).items()}
    pruned = remove_channels(net, parts, kept)
    assert removal_error(net, pruned, parts, kept, x) < 1e-14
    return parts, kept, pruned


def expected_scores(net):
    return nisp.scores(net, X, frl_scores=FRL)


class Keeps(Plain):
    """Keeps an activation on itself, in a list, in a dictionary of an object, and counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.kept, self.all, self.cache = None, [], SimpleNamespace(seen={})
        self.register_buffer("calls", torch.zeros(()))

    def features(self, x):
        self.kept = torch.relu(self.a(x))
        self.all.append(self.kept)
        self.cache.seen[len(self.all)] = self.kept
        self.calls += 1
        return torch.relu(self.b(self.kept)).mean((2, 3))


def test_what_a_network_keeps_is_as_before_and_can_be_copied():
    net = seeded(Keeps)
    before = state(net)
    assert expected_scores(net).keys() == {"a", "b"}
    _, _, pruned = halved(net)
    for each in (net, pruned):
        assert each.kept is None and each.all == [] and each.cache.seen == {} and each.calls == 0
        copy.deepcopy(each)
    assert {name: set(values) for name, values in state(net).items()} == {n: set(v) for n, v in before.items()}


def test_an_activation_that_was_kept_before_does_not_stop_surgery():
    net = seeded(Keeps)
    net(X)
    kept = net.kept
    _, _, pruned = halved(net)
    assert net.kept is kept and len(net.all) == 1
    assert pruned(X).shape == (1, 3)


class Caches(Plain):
    """Computes a bias of its parameters once, in eval mode."""

    def __init__(self):
        super().__init__()
        self.biases, self.scale, self.cache = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(6)), {}

    def bias(self):
        if self.training:
            return self.biases[torch.arange(8)]
        if "bias" not in self.cache:
            self.cache["bias"] = self.biases[torch.arange(8)]
        return self.cache["bias"]

    def features(self, x):
        y = torch.relu(self.a(x) + self.bias()[:, None, None])
        return torch.relu(self.b(y) * (2 * self.scale)[:, None, None]).mean((2, 3))


def test_what_a_pass_caches_is_not_there_in_the_next():
    net = seeded(Caches)
    parts, _, _ = halved(net)
    assert [group.name for group in parts.groups] == ["b"] and net.cache == {}


def test_hooks_that_collect_activations_get_plain_tensors_with_real_values():
    net = seeded(Plain)
    seen = []
    handle = net.a.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected_scores(net)
    assert seen and all(type(tensor) is torch.Tensor for tensor in seen)
    torch.testing.assert_close(seen[-1], net.a(X).detach())
    _parts, _kept, _pruned = halved(net)
    assert all(type(tensor) is torch.Tensor for tensor in seen)
    handle.remove()


@pytest.mark.parametrize("form", RETURNED)
def test_outputs_of_any_structure_stay_whole(form):
    net, plain = seeded(Returning, RETURNED[form]), seeded(Plain)
    assert nisp.final_layers(net, X) == {"f": 6}
    found, expected = expected_scores(net), expected_scores(plain)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    parts, _, _ = halved(net)
    assert parts.sizes == {"a": 8, "b": 6}


def test_a_network_that_returns_no_tensor_is_refused():
    net = seeded(Returning, lambda logits: "a name")
    with pytest.raises(nisp.UserError, match="returns nothing that depends on its input"):
        expected_scores(net)
    with pytest.raises(nisp.UserError, match="returns nothing that depends on its input"):
        anatomy(net, X)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.c, self.f = nn.Conv2d(3, 8, 3), nn.Conv2d(16, 6, 3), nn.Linear(6, 2)

    def forward(self, x, y):
        both = torch.cat([torch.relu(self.e(x)), torch.relu(self.e(y))], 1)
        return self.f(torch.relu(self.c(both)).mean((2, 3)))


@pytest.mark.parametrize("example", [(X, X + 1), {"x": X, "y": X + 1}, (X, {"y": X + 1}["y"])])
def test_several_inputs(example):
    net = seeded(Siamese)
    assert nisp.final_layers(net, example) == {"f": 6}
    found = nisp.scores(net, example, frl_scores=FRL)
    weights = net.c.weight.detach().double().abs()
    first = F.conv_transpose2d(torch.full((1, 6, 4, 4), 1 / 16).double(), weights).sum((0, 2, 3))
    torch.testing.assert_close(found["e"], first[:8] + first[8:], rtol=1e-5, atol=0)
    parts, _, _ = halved(net, example)
    assert parts.sizes == {"e": 8, "c": 6}


@pytest.mark.parametrize("kind", [tuple, dict])
def test_nisp_prunes_networks_of_several_inputs_with_calibration_images(kind):
    images = torch.randn(2, 20, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    given = tuple(images) if kind is tuple else dict(zip("xy", images, strict=True))
    pruned = nisp.prune(seeded(Siamese), given)
    assert pruned.model.e.out_channels == 4 and pruned.model.c.weight.shape == (3, 8, 3, 3)
    assert pruned.removal_error < 1e-14 and pruned.macs < pruned.macs_before / 2


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([X], "of class list: give a tensor, a tuple of tensors .* or a dictionary"),
        (X.numpy(), "of class ndarray: give a tensor"),
        ((), "holds no tensor"),
        (X[:0], "holds no image"),
        (X[0, 0], "Plain does not run on the example"),
        ((X, X), "Plain does not run on the example: .*positional argument"),
    ],
)
def test_examples_that_do_not_fit_are_refused(example, message):
    for call in (anatomy, nisp.final_layers, lambda net, x: nisp.scores(net, x, frl_scores=FRL)):
        with pytest.raises(nisp.UserError, match=message):
            call(seeded(Plain), example)


class Tokens(nn.Module):
    """Words, looked up by number; the mask and the lengths come from the numbers, too."""

    def __init__(self):
        super().__init__()
        self.e, self.place = nn.Embedding(50, 12), nn.Embedding(9, 12)
        self.c, self.d, self.f = nn.Conv1d(12, 8, 3), nn.Conv1d(8, 6, 3), nn.Linear(6, 3)

    def forward(self, tokens):
        words = self.e(tokens + 1 - 1) + self.place(torch.arange(tokens.shape[1]))
        words = words * (tokens != 0).unsqueeze(2)
        x = torch.relu(self.d(torch.relu(self.c(words.transpose(1, 2)))))
        return self.f(x.sum(2) / (tokens != 0).sum(1, keepdim=True))


def test_integer_tokens():
    net, tokens = seeded(Tokens), torch.arange(1, 10)[None]
    assert nisp.final_layers(net, tokens) == {"f": 6}
    found = nisp.scores(net, tokens, frl_scores=FRL)
    assert found.keys() == {"c", "d"}
    torch.testing.assert_close(found["d"], torch.full((6,), 5 / 9).double())
    ones = F.conv_transpose1d(torch.full((1, 6, 5), 1 / 9).double(), net.d.weight.detach().double().abs())
    torch.testing.assert_close(found["c"], ones.sum((0, 2)), rtol=1e-5, atol=0)
    parts, _, _ = halved(net, tokens)
    assert {"c": 8, "d": 6}.items() <= parts.sizes.items()
    calibration = torch.randint(1, 50, (30, 9), generator=torch.Generator().manual_seed(1))
    assert nisp.prune(net, calibration).model.d.weight.shape == (3, 4, 3)


class Branching(Plain):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        y = self.a(x)
        return self.f(torch.relu(self.b(torch.relu(y) if self.how(y) else -y)).mean((2, 3)))


@pytest.mark.parametrize(
    "how",
    [
        lambda y: y.mean() > 0,
        lambda y: (y > 0).any(),
        lambda y: bool((y > 0).float().sum()),
        lambda y: y.max().item() > 3,
        lambda y: int(y.argmax()) > 3,
        lambda y: torch.isnan(y).any(),
        lambda y: float(y.sum()) > 1,
        lambda y: y.tolist() == [],
        lambda y: y.numpy().sum() > 1,
        lambda y: 1.5 in y,
    ],
)
def test_branches_on_values_are_refused_in_scoring_and_in_surgery(how):
    for call in (expected_scores, lambda net: anatomy(net, X)):
        with pytest.raises(nisp.UserError, match="branches on values"):
            call(seeded(Branching, how))


def test_inference_mode_changes_nothing():
    with torch.inference_mode():
        net, x = seeded(Plain), X.clone()
        found = nisp.scores(net, x, frl_scores=FRL)
        pruned = nisp.prune(net, torch.cat([x, x + 1, x * 2]))
    torch.testing.assert_close(found["a"], expected_scores(seeded(Plain))["a"])
    assert pruned.removal_error < 1e-14
    pruned.model(X).sum().backward()
    assert pruned.model.a.weight.grad.shape == (4, 3, 3, 3)


class InInferenceMode(Plain):
    def forward(self, x):
        with torch.inference_mode():
            return super().forward(x * torch.ones(3, 1, 1))


def test_inference_mode_inside_a_network_changes_nothing():
    net = seeded(InInferenceMode)
    torch.testing.assert_close(expected_scores(net)["a"], expected_scores(seeded(Plain))["a"])
    pruned = nisp.prune(net, torch.cat([X, X + 1, X * 2]))
    assert pruned.removal_error < 1e-14
    with torch.no_grad():
        assert pruned.model(X).is_inference()


class Noisy(Plain):
    def forward(self, x):
        y = super().forward(x)
        return y + torch.randn_like(y)


def test_random_draws_are_the_same_in_the_masked_and_the_pruned_network():
    halved(seeded(Noisy))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(8, 5, 1)

    def forward(self, x):
        return self.c(x)


class Auxiliary(Plain):
    """A head that runs in training only, inside a module that looks at its own mode."""

    def __init__(self, needs_targets):
        super().__init__()
        self.needs_targets, self.head = needs_targets, Head()

    def forward(self, x, targets=None):
        y = torch.relu(self.a(x))
        if self.training:
            if self.needs_targets:
                assert targets is not None, "targets should be given"
            return self.f(torch.relu(self.b(y)).mean((2, 3))), self.head(y)
        return self.f(torch.relu(self.b(y)).mean((2, 3)))


def test_parts_that_run_in_training_only_are_pruned_with_the_rest():
    _, _kept, pruned = halved(seeded(Auxiliary, False))
    assert pruned.head.c.weight.shape == (5, 4, 1, 1)
    logits, other = pruned.train()(X)
    assert logits.shape == (1, 3) and other.shape == (1, 5, 6, 6)


def test_parts_whose_training_cannot_be_followed_are_named():
    with pytest.raises(
        nisp.UserError, match=r"head\.c do not run in eval mode, .*targets should be given.*remove them"
    ):
        anatomy(seeded(Auxiliary, True), X)


def test_criteria_for_networks_of_several_inputs():
    images = tuple(torch.randn(2, 20, 3, 8, 8, generator=torch.Generator().manual_seed(3)))
    net = seeded(Siamese)
    for criterion in (nisp.criteria.nisp.score, nisp.criteria.response_bound.score):
        assert nisp.prune(net, images, scores=criterion).removal_error < 1e-14
    with pytest.raises(nisp.UserError, match="this criterion takes one tensor of images, not a tuple"):
        nisp.prune(net, images, scores=lambda problem: problem.images.split(3))
