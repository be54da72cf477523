"""Which images a split holds, and what normalising makes of them: every pixel against the raw data."""

import gzip

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from bench.data import Dataset, FileSplit, Split, _idx, cifar10, fashion_mnist, imagenet, mnist, normalised, split_off
from tests.bench.test_data import write_cifar, write_idx


def statistics(pixels):
    """Mean and standard deviation of each channel of raw training images, (n, channels, height, width)."""
    channels = pixels.astype(np.float64).transpose(1, 0, 2, 3).reshape(pixels.shape[1], -1)
    return channels.mean(1)[:, None, None], channels.std(1, ddof=1)[:, None, None]


def test_digits_are_60_20_and_20_per_cent_of_scikit_learns_normalised_by_the_training_images(digits):
    images, labels = load_digits(return_X_y=True)
    known = {image.astype(np.uint8).tobytes(): label for image, label in zip(images, labels, strict=True)}
    darkest, brightest = digits.train.images.min(), digits.train.images.max()  # 0 and 16 in the raw images
    raw = {}
    for part in ("train", "validation", "test"):
        split = getattr(digits, part)
        pixels = ((split.images - darkest) / (brightest - darkest) * 16).numpy()
        np.testing.assert_allclose(pixels, pixels.round(), atol=1e-4)
        raw[part] = pixels.round()
        found = [known[image.astype(np.uint8).tobytes()] for image in raw[part]]
        assert found == split.labels.tolist() and split.labels.dtype == torch.int64
    assert {part: len(pixels) for part, pixels in raw.items()} == {"train": 1077, "validation": 360, "test": 360}
    everything = np.concatenate(list(raw.values())).reshape(1797, 64)
    assert sorted(map(tuple, everything)) == sorted(map(tuple, images))
    mean, std = statistics(raw["train"])
    for part, pixels in raw.items():
        np.testing.assert_allclose(getattr(digits, part).images, (pixels - mean) / std, rtol=1e-4, atol=1e-5)
        assert max(abs(np.bincount(getattr(digits, part).labels) / len(pixels) - np.bincount(labels) / 1797)) < 2e-3


@pytest.mark.parametrize(("count", "share", "taken"), [(60, 1 / 12, 5), (10, 0.25, 2), (10, 0.26, 3), (7, 0.5, 4)])
def test_a_share_is_split_off_at_random(count, share, taken):
    whole = Split(torch.arange(count) * 10, torch.arange(count))
    rest, off = split_off(whole, share, 5)
    assert len(off.labels) == taken and sorted(torch.cat([rest.labels, off.labels]).tolist()) == list(range(count))
    assert torch.equal(off.images, off.labels * 10) and torch.equal(rest.images, rest.labels * 10)
    assert [part.labels.tolist() for part in split_off(whole, share, 5)] == [rest.labels.tolist(), off.labels.tolist()]
    assert any(split_off(whole, share, seed)[1].labels.tolist() != off.labels.tolist() for seed in (1, 2, 3))
    if count == 60:
        assert rest.labels.tolist() != sorted(rest.labels.tolist()), "the rest is in random order"


def test_each_channel_is_normalised_by_the_training_images_alone():
    train, other, test = (torch.randn(n, 2, 3, 3) * torch.tensor([1.0, 9]).reshape(2, 1, 1) + n for n in (5, 6, 7))
    labels = torch.arange(7)
    found = normalised("x", Split(train, labels[:5]), Split(other, labels[:6]), Split(test, labels), 4)
    mean, std = statistics(train.numpy())
    for split, raw in ((found.train, train), (found.validation, other), (found.test, test)):
        np.testing.assert_allclose(split.images, (raw.numpy() - mean) / std, rtol=1e-4, atol=1e-5)
        assert split.labels.tolist() == list(range(len(raw)))
    assert (found.name, found.classes, found.in_channels, found.image_size) == ("x", 4, 2, 3)
    assert torch.equal(found.example, found.train.images[:1])


def test_images_that_are_not_square_have_the_size_of_their_height():
    split = Split(torch.zeros(2, 1, 3, 5), torch.zeros(2))
    assert Dataset("x", split, split, split, 2).image_size == 3


def test_cifars_pixels_are_read_by_channel_row_and_column(tmp_path, monkeypatch):
    write_cifar(tmp_path, CIFAR10, monkeypatch, 10, "labels")
    dataset = cifar10.load(tmp_path, 3)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (20, 3072)).reshape(20, 3, 32, 32) for _ in range(6)]
    known = {image.tobytes(): (i // 20 + i % 20) % 10 for i, image in enumerate(np.concatenate(batches[:5]))}
    assert [len(split.labels) for split in (dataset.train, dataset.validation, dataset.test)] == [90, 10, 20]
    assert dataset.test.labels.tolist() == [(5 + i) % 10 for i in range(20)]
    # The statistics of the training split follow from the test images, which are known pixel by pixel.
    shown, tests = dataset.test.images.numpy(), batches[5] / 255
    std = (tests.std((0, 2, 3)) / shown.std((0, 2, 3)))[:, None, None]
    mean = tests.mean((0, 2, 3))[:, None, None] - shown.mean((0, 2, 3))[:, None, None] * std
    np.testing.assert_allclose(shown * std + mean, tests, atol=1e-5)
    raw = {}
    for part in ("train", "validation"):
        pixels = (getattr(dataset, part).images.numpy() * std + mean) * 255
        raw[part] = pixels.round().astype(np.int64)
        np.testing.assert_allclose(pixels, raw[part], atol=1e-2)
        assert [known.pop(image.tobytes(), None) for image in raw[part]] == getattr(dataset, part).labels.tolist()
    assert not known, "every training image is in one of the two splits, once"
    np.testing.assert_allclose(statistics(raw["train"] / 255), (mean, std), rtol=1e-4)


@pytest.mark.parametrize(
    ("module", "name", "raw"), [(mnist, "mnist", "MNIST"), (fashion_mnist, "fashion_mnist", "FashionMNIST")]
)
def test_pixels_of_idx_files_are_read_row_by_row(tmp_path, monkeypatch, module, name, raw):
    monkeypatch.setattr(fashion_mnist, "PACKAGE", tmp_path / "none")
    write_idx(tmp_path / raw / "raw")
    write_idx(tmp_path / name, train=240)  # found first
    dataset = module.load(tmp_path, 0)
    content = gzip.decompress((tmp_path / name / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    raw_test = np.frombuffer(content, np.uint8).reshape(20, 1, 28, 28) / 255
    scale = raw_test.std() / dataset.test.images.numpy().std()
    shift = raw_test.mean() - dataset.test.images.numpy().mean() * scale
    np.testing.assert_allclose(dataset.test.images.numpy() * scale + shift, raw_test, atol=1e-5)
    train = dataset.train.images.numpy() * scale + shift
    assert (train.mean(), train.std(ddof=1)) == pytest.approx((shift, scale), rel=1e-5)
    assert [len(split.labels) for split in (dataset.train, dataset.validation, dataset.test)] == [220, 20, 20]
    assert (dataset.name, dataset.classes) == (name, 10)


def test_an_idx_file_says_its_own_shape(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = bytes([0, 0, 8, 3]) + np.array([2, 3, 4], ">u4").tobytes() + pixels.tobytes()
    (tmp_path / "images").write_bytes(content)
    assert _idx.read_idx(tmp_path / "images", 3).tolist() == pixels.tolist()
    (tmp_path / "packed.gz").write_bytes(gzip.compress(content))
    assert _idx.read_idx(tmp_path / "packed.gz", 3).tolist() == pixels.tolist()


def test_two_per_cent_of_each_class_rounded_up_validate(tmp_path):
    for name, train, test in (("a", 100, 3), ("b", 101, 1), ("c", 2, 1)):
        for part, count in (("train", train), ("val", test)):
            folder = tmp_path / "imagenet" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index:03}.jpg").write_bytes(b"x")
    dataset = imagenet.load(tmp_path, 0)
    assert torch.bincount(dataset.validation.labels).tolist() == [2, 3, 1]
    assert torch.bincount(dataset.train.labels).tolist() == [98, 98, 1]
    assert dataset.test.labels.tolist() == [0, 0, 0, 1, 2] and dataset.image_size == 224
    assert isinstance(dataset.train, FileSplit)
