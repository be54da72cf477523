"""A GPU whose memory is too small for a batch, stood in for by a network that takes so many images and no more."""

from dataclasses import replace

import pytest
import torch

from bench.data import Split
from bench.training.evaluation import classifier_inputs, logits
from bench.training.loop import Recipe, train
from bench.training.out_of_memory import tell_of_parts
from nisp.errors import UserError
from tests.bench.training.test_loop import weights

RECIPE = Recipe(2, 50, 0.05, 0.9, 5e-4, "cosine", ("shift",))


class Small(torch.nn.Module):
    """Has room for the activations of ``room`` images; runs out of it late, as networks do."""

    def __init__(self, room):
        super().__init__()
        torch.manual_seed(0)
        self.room = room
        self.body = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.ReLU())
        self.classifier = torch.nn.Linear(4 * 36, 10)

    def forward(self, images):
        responses = self.body(images).flatten(1)
        if len(images) > self.room:
            raise torch.OutOfMemoryError(f"{len(images)} images")
        return self.classifier(responses)


@pytest.fixture
def few(digits):
    tell_of_parts.cache_clear()
    train_split, test = (Split(split.images[:130], split.labels[:130]) for split in (digits.train, digits.test))
    return replace(digits, train=train_split, test=test)


def test_a_batch_too_large_is_trained_on_in_parts_to_the_same_result(few, capsys):
    results = []
    for room in (1000, 20, 1):
        model = Small(room)
        curve = train(model, few, RECIPE, 0)
        results.append((weights(model), [epoch.train_loss for epoch in curve[1:]]))
    (whole, losses), *parts = results
    for of_parts, losses_of_parts in parts:
        torch.testing.assert_close(of_parts, whole, rtol=1e-4, atol=1e-5)
        assert losses_of_parts == pytest.approx(losses, rel=1e-4)
    told = capsys.readouterr().err
    assert told.count("out of memory: batches are trained on in parts") == 1 and told.count("evaluated") == 1


def test_batch_norm_forgets_an_attempt_that_failed(few):
    one_batch = replace(few, train=Split(few.train.images[:40], few.train.labels[:40]))
    model = Small(20)
    model.body[1] = torch.nn.BatchNorm2d(4)
    train(model, one_batch, replace(RECIPE, epochs=1), 0)
    assert model.body[1].num_batches_tracked == 2, "two parts of twenty images, and not the forty before"


def test_that_not_even_one_image_fits_is_told(few):
    model = Small(1000)
    forward = model.forward

    def none_in_training(images):
        model.room = 0 if model.training else 1000
        return forward(images)

    model.forward = none_in_training
    with pytest.raises(UserError, match="out of memory at 1 of a batch's images"):
        train(model, few, RECIPE, 0)


def test_evaluation_in_parts_gives_the_same_rows(digits, capsys):
    tell_of_parts.cache_clear()
    images = digits.test.images[:301]
    whole, small = Small(1000).eval(), Small(33).eval()
    torch.testing.assert_close(logits(small, images), logits(whole, images))
    responses = classifier_inputs(small, images, "classifier")
    torch.testing.assert_close(responses, classifier_inputs(whole, images, "classifier"))
    assert capsys.readouterr().err.count("are evaluated in parts") == 1
