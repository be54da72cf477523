"""Which layer wrote what, in networks that name their layers in unusual ways."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nisp
from nisp.errors import UserError
from nisp.network import traced
from tests.nisp.test_linear_rules import Standardised


def absolute(weight):
    return weight.detach().double().abs()


def test_a_layer_that_computes_its_weight_is_known_by_having_run():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 1), Standardised(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    frl = torch.rand(4).double()
    found = nisp.scores(model, torch.randn(1, 1, 4, 4), frl_scores=frl)
    torch.testing.assert_close(found["1"], frl)
    layer = model[1]
    rows = layer.weight.detach().double().reshape(4, -1)
    rows = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    kernel = (rows * layer.weight.detach().double().mean()).abs().reshape(4, 3, 3, 3)
    expected = F.conv_transpose2d((frl / 16).reshape(1, 4, 1, 1).expand(1, 4, 4, 4), kernel, padding=1).sum((0, 2, 3))
    torch.testing.assert_close(found["0"], expected, rtol=1e-4, atol=0)


class TwoReadings(nn.Module):
    """A classifier that runs twice."""

    def __init__(self):
        super().__init__()
        self.body, self.classifier = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.body(x)
        return torch.stack([self.classifier(x * 3), self.classifier(x)])


def test_the_final_responses_are_those_of_every_call_of_a_classifier():
    """Scores start at each call; responses are averaged over calls."""
    model, images = TwoReadings(), torch.randn(5, 3)
    found = nisp.scores(model, images[:1], frl_scores=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found["body"].tolist() == [3 + 1, 6 + 2, 9 + 3, 12 + 4]
    torch.testing.assert_close(nisp.final_responses(model, images, "classifier"), 2 * model.body(images).detach())


def test_final_layers_of_convolutions_have_as_many_responses_as_channels():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1))
    assert nisp.final_layers(model, torch.randn(1, 1, 6, 6)) == {"1": 3}


def test_scores_are_taken_behind_the_batch_norm_that_follows_a_layer_and_before_any_other_norm():
    norm = nn.BatchNorm1d(3).eval()
    norm.running_var.copy_(torch.tensor([0.25, 4.0, 1.0]))
    norm.eps = 0.0
    for behind, expected in ((norm, [1.0, 2.0, 3.0]), (nn.Sequential(nn.ReLU(), norm), [2.0, 1.0, 3.0])):
        model = nn.Sequential(nn.Linear(2, 3), behind, nn.Linear(3, 2))
        assert nisp.scores(model, torch.zeros(1, 2), frl_scores=torch.tensor([1.0, 2.0, 3.0]))["0"].tolist() == expected


def test_calibration_images_run_in_eval_mode_and_modes_are_put_back():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    images = torch.randn(70, 3)
    found = nisp.scores(model, images[:1], calibration=images)["0"]
    torch.testing.assert_close(found, nisp.inf_fs(torch.relu(model[0](images))))
    assert model.training and model[2].training


def test_layers_are_not_computed_where_no_rule_needs_a_value():
    computed = []

    class Noting(nn.Linear):
        def forward(self, x):
            made = super().forward(x)
            computed.append(made.as_subclass(torch.Tensor).any().item())
            return made

    nisp.scores(nn.Sequential(Noting(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(1, 3), frl_scores=torch.ones(4))
    assert computed == [False]
    nisp.scores(nn.Sequential(Noting(3, 4), nn.Softmax(1), nn.Linear(4, 2)), torch.ones(1, 3), frl_scores=torch.ones(4))
    assert computed == [False, False, True]


def test_a_trace_has_every_run_in_order_and_every_output():
    model = TwoReadings()
    trace = traced(model, torch.randn(2, 3))
    assert {name: len(runs) for name, runs in trace.runs.items()} == {"body": 1, "classifier": 2}
    assert list(trace.runs) == ["body", "classifier"]
    assert [o.path.shape for o in trace.outputs] == [(2, 2, 2)]
    assert trace.runs["classifier"][0].read.path.shape == (2, 4)


class Chosen(nn.Module):
    """A network whose paths depend on the responses."""

    def __init__(self, choose):
        super().__init__()
        self.layer, self.classifier, self.choose = nn.Linear(1, 3), nn.Linear(3, 2), choose
        self.layer.bias = nn.Parameter(torch.tensor([1.0, -1.0, 5.0]))

    def forward(self, x):
        return self.classifier(self.choose(self.layer(x)))


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda x: torch.where(x > 0, x, x * 3), [1, 3, 1]),
        (lambda x: torch.where(x.le(0), x, x * 3), [3, 1, 3]),
        (lambda x: torch.where(torch.eq(x, 5), x * 3, x), [1, 1, 3]),
        (lambda x: x + x.gather(1, x.argmax(1, keepdim=True)), [1, 1, 4]),
        (lambda x: x + x.gather(1, x.max(1, keepdim=True).indices), [1, 1, 4]),
        (lambda x: x * (2 if x.shape == (1, 3) else 1), [2, 2, 2]),
    ],
)
def test_comparisons_and_places_are_those_of_the_real_responses(choose, expected):
    found = nisp.scores(Chosen(choose), torch.zeros(1, 1), frl_scores=torch.ones(3))["layer"]
    assert found.tolist() == expected


class Norms(nn.Module):
    """A layer whose output a batch norm reads, and what else ``also`` makes of it."""

    def __init__(self, also):
        super().__init__()
        self.layer, self.norm, self.other, self.head = (
            nn.Linear(2, 3),
            nn.BatchNorm1d(3),
            nn.BatchNorm1d(3),
            nn.Linear(3, 2),
        )
        self.also = also

    def forward(self, x):
        x = self.layer(x)
        return self.head(self.norm(x) + self.also(self, x))


@pytest.mark.parametrize(
    ("also", "expected"),
    [
        (lambda net, x: 0, [1.0, 2.0, 3.0]),
        (lambda net, x: x, [1 * 2 + 1, 2 * 2 + 2, 3 * 2 + 3]),
        (lambda net, x: 0 * net.other(x), [2.0, 4.0, 6.0]),
        (lambda net, x: net.other(x).new_zeros(3), [2.0, 4.0, 6.0]),
    ],
)
def test_scores_are_taken_in_front_of_a_norm_that_is_not_the_only_reader(also, expected):
    net = Norms(also).eval()
    net.norm.running_var.fill_(0.25)
    net.norm.eps = 0.0
    found = nisp.scores(net, torch.zeros(1, 2), frl_scores=torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(found["layer"], torch.tensor(expected, dtype=torch.float64))


def test_batch_norms_that_are_frozen_or_called_as_functions_count_as_norms():
    class Called(nn.BatchNorm1d):
        def forward(self, x):
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )

    class Frozen(Called):
        def forward(self, x):
            return x * (self.weight * (self.running_var + self.eps).rsqrt()) + self.bias

    for kind in (nn.BatchNorm1d, Called, Frozen):
        norm = kind(3).eval()
        norm.running_var.copy_(torch.tensor([0.25, 4.0, 1.0]))
        model = nn.Sequential(nn.Linear(2, 3), norm, nn.Linear(3, 2))
        assert nisp.scores(model, torch.zeros(1, 2), frl_scores=torch.ones(3))["0"].tolist() == [1, 1, 1]


def test_a_response_may_be_written_into_new_zeros_but_not_where_others_look():
    class Shifted(nn.Module):
        def __init__(self, target):
            super().__init__()
            self.layer, self.head, self.target = nn.Linear(2, 4), nn.Linear(4, 2), target

        def forward(self, x):
            x = self.layer(x)
            y = self.target(self, x)
            y[:, 1:] = 2 * x[:, :-1]
            return self.head(y)

    def scored(target):
        return nisp.scores(Shifted(target), torch.zeros(1, 2), frl_scores=torch.ones(4))["layer"].tolist()

    assert scored(lambda net, x: torch.zeros_like(x)) == scored(lambda net, x: torch.zeros(1, 4)) == [2, 2, 2, 0]
    assert scored(lambda net, x: (x > 0).float()) == [2, 2, 2, 0]
    seen = []
    with pytest.raises(UserError, match="writes a response into a constant tensor"):
        scored(lambda net, x: seen.append(torch.zeros(1, 4)) or seen[-1].view(1, 4))
