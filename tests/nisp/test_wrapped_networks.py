"""Networks that are compiled, wrapped, scripted, traced or quantised, as a whole or in part."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import nisp
from nisp.pruning import anatomy, keep_plan, macs, removal_error, remove_channels
from nisp.pruning.wrappers import unwrapped
from tests.nisp.networks_of_any_kind import Plain, seeded

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
FRL = torch.ones(6)


class ModelEmaV3(nn.Module):
    """As timm's moving average of weights."""

    def __init__(self, model):
        super().__init__()
        self.module = copy.deepcopy(model)


WRAPPED = {
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "data parallel": nn.DataParallel,
    "averaged weights": torch.optim.swa_utils.AveragedModel,
    "moving average": ModelEmaV3,
    "twice": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wrapped_networks_are_handled_by_what_they_wrap(how):
    plain = seeded(Plain)
    net = WRAPPED[how](seeded(Plain))
    assert type(unwrapped(net)) is Plain
    assert nisp.final_layers(net, X) == {"f": 6}
    found, expected = (nisp.scores(each, X, frl_scores=FRL) for each in (net, plain))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert anatomy(net, X).sizes == anatomy(plain, X).sizes == {"a": 8, "b": 6}
    images = torch.randn(9, 3, 8, 8)
    ours, theirs = nisp.prune(net, images), nisp.prune(plain, images)
    assert type(ours.model) is Plain and ours.kept["a"].equal(theirs.kept["a"])
    assert macs(net, X) == macs(plain, X) == ours.macs_before


def test_a_distributed_network_is_handled_by_what_it_wraps(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        net = nn.parallel.DistributedDataParallel(seeded(Plain))
        assert nisp.prune(net, torch.randn(9, 3, 8, 8)).model.a.out_channels == 4
    finally:
        torch.distributed.destroy_process_group()


def test_compiled_parts_and_functions_are_followed():
    class Compiled(Plain):
        def __init__(self):
            super().__init__()
            self.b = torch.compile(self.b, backend="eager")
            self.act = torch.compile(torch.relu, backend="eager")

        def features(self, x):
            return self.act(self.b(self.act(self.a(x)))).mean((2, 3))

    net = seeded(Compiled)
    found, expected = (nisp.scores(each, X, frl_scores=FRL) for each in (net, seeded(Plain)))
    assert torch.equal(found["a"], expected["a"])
    parts = anatomy(net, X)
    kept = {name: torch.arange(size // 2) for name, size in parts.sizes.items()}
    pruned = remove_channels(net, parts, kept)
    assert removal_error(net, pruned, parts, kept, X) < 1e-14 and pruned.a.out_channels == 4
    assert pruned(X).shape == (1, 3)


def scripted(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return how()


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def strongest(x: torch.Tensor) -> torch.Tensor:
    return x * x.amax(1, keepdim=True)


def flipped(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.fft(x).real


class Gated(Plain):
    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def features(self, x):
        return torch.relu(self.b(self.gate(self.a(x)))).mean((2, 3))


class Function(torch.autograd.Function):
    """A gate as a function of its own, as memory-saving activations are."""

    @staticmethod
    def forward(ctx, x):
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError


@pytest.mark.parametrize("function", [swish, strongest])
def test_scripted_functions_are_followed_as_plain_ones(function):
    net, plain = seeded(Gated, scripted(lambda: torch.jit.script(function))), seeded(Gated, function)
    for _ in range(3):  # the interpreter optimises after some calls
        found, expected = (nisp.scores(each, X, frl_scores=FRL) for each in (net, plain))
        assert found.keys() == expected.keys() == {"a", "b"}
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        parts = anatomy(net, X)
        assert parts.sizes == anatomy(plain, X).sizes
    kept = {name: torch.arange(count) for name, count in keep_plan(parts.groups, 0.5).items()}
    pruned = remove_channels(net, parts, kept)
    assert removal_error(net, pruned, parts, kept, X) < 1e-14


def test_autograd_functions_are_followed():
    net, plain = seeded(Gated, Function.apply), seeded(Gated, swish)
    found, expected = (nisp.scores(each, X, frl_scores=FRL) for each in (net, plain))
    assert torch.equal(found["a"], expected["a"])
    assert anatomy(net, X).sizes == {"a": 8, "b": 6}


def test_a_scripted_function_without_a_rule_is_refused_by_name_and_costs_only_its_channels():
    net = seeded(Gated, scripted(lambda: torch.jit.script(flipped)))
    with pytest.raises(nisp.UserError, match="fft"):
        nisp.scores(net, X, frl_scores=FRL)
    assert anatomy(net, X).sizes == {"b": 6}


def test_operators_called_by_their_dispatcher_names_are_followed():
    net, plain = seeded(Gated, torch.ops.aten.sigmoid.default), seeded(Gated, torch.sigmoid)
    found, expected = (nisp.scores(each, X, frl_scores=FRL) for each in (net, plain))
    assert torch.equal(found["a"], expected["a"])
    assert anatomy(net, X).sizes == {"a": 8, "b": 6}


class Mixed(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part, self.f = part, nn.Linear(8, 2)

    def forward(self, x):
        return self.f(torch.relu(self.part(x)).mean((2, 3)))


def quantised():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
        return torch.ao.quantization.prepare_qat(net).eval()


def whole_numbers():
    layer = nn.Conv2d(3, 8, 3)
    layer.weight = nn.Parameter(torch.ones(8, 3, 3, 3, dtype=torch.int8), requires_grad=False)
    return layer


REFUSED = {
    "scripted": (lambda: scripted(lambda: torch.jit.script(nn.Conv2d(3, 8, 3))), "'part' is scripted or traced: pass"),
    "traced": (
        lambda: scripted(lambda: torch.jit.trace(nn.Conv2d(3, 8, 3), X)), "'part' is scripted or traced: pass"
    ),
    "quantised": (quantised, "'part.0' is quantised or prepared .*: pass the floating-point network"),
    "whole numbers": (whole_numbers, "the weight of its part 'part' is stored as torch.int8: pass the floating-point"),
    "lazy": (lambda: nn.LazyConv2d(8, 3), "'part' has no 'weight' yet: run it once"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_out_of_reach_are_refused_with_what_to_pass_instead(kind):
    make, message = REFUSED[kind]
    net = Mixed(make()).eval()
    for call in (lambda: nisp.scores(net, X, frl_scores=torch.ones(8)), lambda: anatomy(net, X)):
        with pytest.raises(nisp.UserError, match=message):
            call()


def test_what_is_no_network_is_refused():
    with pytest.raises(nisp.UserError, match=r"of class function: give a torch\.nn\.Module"):
        anatomy(F.relu, X)


def test_weights_that_are_computed_are_refused_with_the_way_out():
    net = nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), parametrizations.weight_norm(nn.Conv2d(8, 6, 3)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip
    assert nisp.scores(net, X, frl_scores=FRL).keys() == {"0", "2"}
    with pytest.raises(nisp.UserError, match=r"weights of '0' are computed: .*remove_parametrizations"):
        anatomy(net, X)
    for place in (0, 2):
        nn.utils.parametrize.remove_parametrizations(net[place], "weight")
    assert anatomy(net, X).sizes == {"0": 8, "2": 6}


def test_detectors_are_refused_with_the_part_to_prune():
    torchvision = pytest.importorskip("torchvision")
    net = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    ).eval()
    for example in (torch.rand(1, 3, 64, 64), [torch.rand(3, 64, 64)]):
        with pytest.raises(nisp.UserError, match=r"prune its backbone, model\.backbone"):
            anatomy(net, example)
