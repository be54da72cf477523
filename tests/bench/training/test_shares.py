"""How processes that train together share images, gradients and batch norm, worked out for each of them in turn."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.training import distributed


@pytest.fixture
def process(monkeypatch):
    """Be the process of this number among so many."""

    def be(rank, size):
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "size", lambda: size)

    return be


@pytest.mark.parametrize(("size", "count"), [(1, 7), (2, 7), (3, 7), (7, 7), (3, 3)])
def test_every_image_is_computed_by_one_process(process, size, count):
    taken = []
    for rank in range(size):
        process(rank, size)
        taken.append(list(range(count))[distributed.share(count)])
    assert sorted(index for each in taken for index in each) == list(range(count))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_where_images_are_fewer_than_processes_each_computes_all(process):
    for rank in range(3):
        process(rank, 3)
        assert list(range(2))[distributed.share(2)] == [0, 1] and not distributed.shared(2)
        assert distributed.weight(2, 2) == 1, "their average over processes is the mean over the images"


@pytest.mark.parametrize(("size", "count"), [(1, 7), (2, 7), (3, 7), (4, 3)])
def test_weighted_means_of_shares_average_to_the_mean_of_all(process, size, count):
    values = torch.randn(count, dtype=torch.float64)
    means = []
    for rank in range(size):
        process(rank, size)
        mine = values[distributed.share(count)]
        means.append(mine.mean() * distributed.weight(len(mine), count))
    torch.testing.assert_close(sum(means) / size, values.mean())


def test_a_part_of_a_batch_counts_for_its_images():
    """One process, whose memory takes 5 of 8 images at a time."""
    values = torch.randn(8, dtype=torch.float64)
    parts = [part.mean() * distributed.weight(len(part), 8) for part in values.split(5)]
    torch.testing.assert_close(sum(parts), values.mean())


def test_rows_of_shares_are_put_together_in_order(process, monkeypatch):
    values, parts = torch.randn(7, 3), []
    monkeypatch.setattr(distributed, "summed", lambda tensor: tensor)
    for rank in range(3):
        process(rank, 3)
        parts.append(distributed.in_shares(lambda mine: values[mine], 7))
    assert torch.equal(sum(parts), values), "each process adds its own rows to zeros"
    process(0, 1)
    assert torch.equal(distributed.in_shares(lambda mine: values[mine], 7), values)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(5), nn.BatchNorm2d(5), nn.BatchNorm2d(5, momentum=0.3, eps=0.1)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_over_processes_is_batch_norm_where_one_has_all_images(process, monkeypatch, layer, training):
    """The same outputs, gradients and running statistics."""
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor)
    process(0, 2)
    results = []
    images = torch.randn(6, 5, *([4, 3] if isinstance(layer, nn.BatchNorm2d) else [])) * 3 + 1
    for shared in (False, True):
        torch.manual_seed(0)
        layer.reset_parameters()
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
        layer.running_mean.uniform_()
        layer.running_var.uniform_(0.5, 2)
        x = images.clone().requires_grad_()
        with distributed.SharedBatchNorm(6 if shared else 1):
            output = layer.train(training)(x)
        (output * torch.linspace(-1, 2, output.numel()).reshape(output.shape)).sum().backward()
        gradients = [x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()]
        layer.zero_grad()
        results.append([output.detach(), *gradients, layer.running_mean.clone(), layer.running_var.clone()])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_other_functions_are_left_alone(process):
    process(0, 2)
    x = torch.randn(3, 4)
    with distributed.SharedBatchNorm(3):
        assert torch.equal(F.relu(x, inplace=False), x.clamp_min(0)) and torch.equal(x.sum(dim=0), sum(x))


def test_statistics_of_two_processes_are_those_of_all_their_images(process, monkeypatch):
    """Sums are exchanged: count, then sums, then squares of what is left when the common mean is taken away."""
    process(0, 2)
    mine, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3) + 2
    everything = torch.cat([mine, other])
    centred = other - everything.mean((0, 2))[:, None]
    theirs = iter([torch.tensor(6.0), other.sum((0, 2)), centred.square().sum((0, 2))])
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor + next(theirs))
    norm, alone = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    with distributed.SharedBatchNorm(4):
        output = norm(mine)
    torch.testing.assert_close(output, alone(everything)[:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, alone.running_mean)
    torch.testing.assert_close(norm.running_var, alone.running_var)


def test_alone_nothing_is_exchanged(digits):
    model = nn.Linear(2, 2)
    assert distributed.parallel(model) is model and distributed.leads() and distributed.size() == 1
    tensor = torch.ones(2)
    assert distributed.summed(tensor) is tensor
    seen = distributed.together(lambda *args, **kwargs: (args, kwargs), model, digits, report=print)
    assert seen[0][0] is model and seen[0][1] is digits and seen[1] == {"report": print}


def test_a_data_set_is_sent_once_and_a_network_every_time(monkeypatch, digits):
    sent = []
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "_held", [])
    monkeypatch.setattr(distributed.dist, "broadcast_object_list", lambda content: sent.append(content[0]))
    model = torch.nn.Linear(2, 2)
    for seed in (0, 1):
        distributed.together(lambda *_: None, model, digits, seed)
    (_, first), (_, second) = sent
    assert isinstance(first[0], torch.nn.Linear) and isinstance(second[0], torch.nn.Linear) and first[0] is not model
    assert (first[2], second[2]) == (0, 1) and first[1].name == digits.name and second[1] == distributed._Held()
    monkeypatch.setattr(distributed, "_held", [])
    received = [[distributed._unpacked(argument) for argument in arguments] for arguments in (first, second)]
    assert received[1][1] is received[0][1] and torch.equal(received[1][1].test.images, digits.test.images)


def test_the_leader_alone_reads_a_state_and_all_get_it(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)

    def broadcast(content):
        content[0] = content[0] or b"the leader's"

    monkeypatch.setattr(distributed.dist, "broadcast_object_list", broadcast)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert distributed.from_leader(lambda: pytest.fail("read by a follower")) == b"the leader's"
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    assert distributed.from_leader(lambda: b"mine") == b"mine"
